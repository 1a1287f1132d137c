//! Cross-origin requests (CORS): which web pages may call this service from a browser.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::Origin;
use crate::http::respond;

/// What a page may send.
const MAY_SEND: [(HeaderName, &str); 3] = [
    (
        ACCESS_CONTROL_ALLOW_METHODS,
        "GET, HEAD, POST, PUT, PATCH, DELETE",
    ),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, \
         traceparent, tracestate",
    ),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// What a page may read beside the body.
const MAY_READ: &str = "ETag, Location, Preference-Applied, RateLimit, Request-Id, Retry-After";

/// Answers a browser that asks on behalf of a page, before keys are looked at: that question comes
/// without one.
pub(crate) async fn answer(
    State(origins): State<Arc<[Origin]>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let origin = headers
        .get(ORIGIN)
        .filter(|asking| origins.iter().any(|origin| origin.is(asking)));
    // A copy: a clone would keep the connection's buffer alive for as long as the request is held.
    let origin = origin.and_then(|origin| HeaderValue::from_bytes(origin.as_bytes()).ok());
    let only_asks =
        request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if only_asks && origin.is_some() {
        let mut response = respond::empty(StatusCode::NO_CONTENT);
        for (name, value) in MAY_SEND {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !only_asks {
            let names = HeaderValue::from_static(MAY_READ);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }
    response
}
