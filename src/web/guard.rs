//! Who may ask for what: loopback names only (against DNS rebinding), no page of another origin, the token for changes,
//! headers for browsers.

use super::hub::Hub;
use super::says::{failure, later};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Refuses requests that reached a loopback listener under another name or from a page of another origin, and adds the
/// headers every answer carries.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = if !is_local(request.headers()) {
        (StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1 or localhost\n").into_response()
    } else if is_foreign(request.headers()) && !is_link_to_page(&request) {
        failure(StatusCode::FORBIDDEN, "pages of other origins get nothing here")
    } else {
        next.run(request).await
    };
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

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|h| h.to_str().ok())
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, header::HOST) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    matches!(name, "127.0.0.1" | "localhost" | "::1")
}

/// A page of another origin asks, which another port of this machine is as well: the browser says so
/// (<https://www.w3.org/TR/fetch-metadata/>), or an old browser names the origin.
fn is_foreign(headers: &HeaderMap) -> bool {
    match text(headers, SITE) {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => headers.contains_key(header::ORIGIN) && !has_own_origin(headers),
    }
}

fn has_own_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (text(headers, header::ORIGIN), text(headers, header::HOST)) else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, named)| named == host)
}

/// Somebody follows a link to the page, from a dashboard for instance: a whole window, none of the API.
fn is_link_to_page(request: &Request) -> bool {
    let headers = request.headers();
    text(headers, MODE) == Some("navigate")
        && text(headers, DEST) == Some("document")
        && !request.uri().path().starts_with("/api/")
}

/// The browser says that the page of this very listener asks. A program can say so too; a page of another origin cannot.
pub fn is_own_page(headers: &HeaderMap) -> bool {
    text(headers, SITE) == Some("same-origin")
}

/// Wrong tokens that are answered as such within [`WRONG_WINDOW`].
const WRONG_MAX: u32 = 10;
const WRONG_WINDOW: Duration = Duration::from_secs(60);

/// Counts wrong tokens. Clients on loopback cannot be told apart, so that after too many only wrong ones are refused early:
/// the right one always passes, and nobody can lock the owner out.
#[derive(Default)]
pub struct Tokens(Mutex<Option<(Instant, u32)>>);

impl Tokens {
    /// Passes a request that carries the site's token.
    pub fn check(&self, hub: &Hub, headers: &HeaderMap) -> Result<(), Response> {
        let given = text(headers, header::AUTHORIZATION).and_then(|h| h.strip_prefix("Bearer "));
        match given {
            Some(given) if is_same(given, &hub.token) => Ok(()),
            Some(_) if self.count_wrong() > WRONG_MAX => Err(later(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens: it stands in api.json of the state folder",
                WRONG_WINDOW.as_secs(),
            )),
            _ => Err(failure(
                StatusCode::UNAUTHORIZED,
                "changes need the site's token: it stands in api.json of the state folder",
            )),
        }
    }

    /// Wrong tokens of this window, with this one.
    fn count_wrong(&self) -> u32 {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, count) = wrong
            .filter(|(t, _)| t.elapsed() < WRONG_WINDOW)
            .unwrap_or((Instant::now(), 0));
        if count == WRONG_MAX {
            tracing::warn!("somebody on this machine tries tokens: {count} wrong ones within a minute");
        }
        let count = count.saturating_add(1);
        *wrong = Some((begun, count));
        count
    }
}

/// Compares all of it, whatever differs first.
fn is_same(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).fold(0, |d, (a, b)| d | (a ^ b));
    given.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |v: &str| HeaderValue::from_str(v).unwrap();
        pairs.iter().map(|(name, v)| (name.clone(), value(v))).collect()
    }

    #[test]
    fn only_loopback_names_are_answered() {
        let check = |host: &str, ok| assert_eq!(is_local(&of(&[(header::HOST, host)])), ok, "{host}");
        check("127.0.0.1:8420", true);
        check("localhost", true);
        check("[::1]:8420", true);
        check("evil.example:8420", false);
        check("127.0.0.1.evil.example", false);
        assert!(!is_local(&HeaderMap::new()));
    }

    #[test]
    fn a_page_of_another_origin_is_foreign() {
        let check = |more: &[(HeaderName, &str)], foreign| {
            let mut headers = of(&[(header::HOST, "localhost:8420")]);
            headers.extend(of(more));
            assert_eq!(is_foreign(&headers), foreign, "{more:?}");
        };
        check(&[], false);
        check(&[(SITE, "same-origin")], false);
        check(&[(SITE, "none")], false);
        check(&[(SITE, "cross-site")], true);
        check(&[(SITE, "same-site")], true);
        check(&[(header::ORIGIN, "http://localhost:8420")], false);
        check(&[(header::ORIGIN, "http://localhost:3000")], true);
        check(&[(header::ORIGIN, "http://evil.example")], true);
        check(&[(header::ORIGIN, "null")], true);
    }
}
