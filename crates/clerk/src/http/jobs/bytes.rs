//! Inputs and outputs as they are: bytes that must not run on our origin.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::http::{etag, respond};

/// Answers with the bytes.
pub(crate) fn answer(bytes: Bytes, media_type: &str) -> Response {
    let mut response = Response::new(Body::from(bytes));
    write_kind(response.headers_mut(), media_type);
    response.headers_mut().insert(ETAG, etag::ONLY);
    response
}

/// Answers that the client has the bytes.
pub(crate) fn not_modified() -> Response {
    let mut response = respond::empty(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(ETAG, etag::ONLY);
    response
}

/// Whatever the bytes are, a browser shall save them, not show them.
fn write_kind(headers: &mut HeaderMap, media_type: &str) {
    // What a worker calls its output need not be something that a header can hold.
    let kind = HeaderValue::from_str(media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_TYPE, kind);
    let fixed = [
        (CONTENT_DISPOSITION, "attachment"),
        (CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
