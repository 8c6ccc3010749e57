//! Who may ask for what: loopback names only (against DNS rebinding), the token for changes, headers for browsers.

use super::hub::Hub;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Refuses requests that reached a loopback listener under another name, and adds the headers every answer carries.
pub async fn headers(request: Request, next: Next) -> Response {
    if !is_local(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1 or localhost\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    matches!(name, "127.0.0.1" | "localhost" | "::1")
}

/// True if the request carries the site's token. Compares all of it, whatever differs first.
pub fn has_token(hub: &Hub, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
    let Some(given) = given.and_then(|h| h.strip_prefix("Bearer ")) else {
        return false;
    };
    let differences = given.bytes().zip(hub.token.bytes()).fold(0, |d, (a, b)| d | (a ^ b));
    given.len() == hub.token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        let check = |host: &str, ok| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            assert_eq!(is_local(&headers), ok, "{host}");
        };
        check("127.0.0.1:8420", true);
        check("localhost", true);
        check("[::1]:8420", true);
        check("evil.example:8420", false);
        check("127.0.0.1.evil.example", false);
        assert!(!is_local(&HeaderMap::new()));
    }
}
