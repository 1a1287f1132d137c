//! `GET /v1/jobs/{id}/input`: the input as it was sent.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::etag;
use crate::http::jobs::bytes;
use crate::http::path::JobRef;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;

/// Hands out the input.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let input = desk.store.input(Some(&caller.tenant), id).await?;
    let input = input.ok_or_else(Problem::no_such_job)?;
    Ok(bytes::answer(input, etag::has(&headers, &etag::ONLY)))
}
