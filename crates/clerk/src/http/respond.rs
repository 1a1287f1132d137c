//! What every answer has, and how answers are put together.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use clerkwork_core::{Clock, JobId, JobObject};
use serde::Serialize;

use crate::http::pieces::Pieces;
use crate::http::problem::{Kind, Problem};

/// The header that names a request, in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// An answer with this JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| unwritten(&error))?;
    Ok(json_body(status, Body::from(body)))
}

fn json_body(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn unwritten(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be written");
    Problem::new(Kind::Internal)
}

/// An answer with a job and its output, which is not copied.
pub(crate) fn job(status: StatusCode, job: &JobObject, output: Bytes) -> Result<Response, Problem> {
    let body = Pieces::of_job(job, output).map_err(|error| unwritten(&error))?;
    Ok(json_body(status, Body::new(body)))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A text of ours as a header's value.
pub(crate) fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A span as headers tell it: whole seconds, rounded up.
pub(crate) fn seconds(span: Duration) -> u64 {
    let begun = u64::from(span.subsec_nanos() > 0);
    span.as_secs().saturating_add(begun)
}

/// Completes an answer: its request's id, that nobody may keep it or take it for another type, and the
/// body of a problem.
pub(crate) fn finish(clock: &impl Clock, mut response: Response) -> Response {
    let id = JobId::at(clock.now());
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write(&mut response, id);
    } else if response.status().is_client_error() || response.status().is_server_error() {
        Problem::of_status(response.status()).write(&mut response, id);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, value(id.to_string()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_has_begun_counts_as_a_whole_one() {
        for (nanos, whole) in [
            (0, 0),
            (1, 1),
            (999_999, 1),
            (1_000_000_000, 1),
            (1_000_000_001, 2),
        ] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), whole, "{nanos} ns");
        }
    }
}
