//! How the API answers: JSON, and `{"error": why}` where something is not as asked.

use axum::Json;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which it is worth to ask again.
const AGAIN_S: u64 = 1;

/// A JSON text that exists already.
pub fn json_text(text: Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

pub fn failure(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

/// A failure that passes by itself.
pub fn later(status: StatusCode, why: &str, after_s: u64) -> Response {
    ([(header::RETRY_AFTER, after_s.to_string())], failure(status, why)).into_response()
}

/// More is asked at once than is worked on.
pub fn too_much(why: &str) -> Response {
    later(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!("{why}; ask again in {AGAIN_S} s"),
        AGAIN_S,
    )
}
