//! `GET /v1/jobs/{id}/input`: the input as it was sent.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use clerkwork_core::Job;

use crate::Desk;
use crate::bytes_in_flight::Owner;
use crate::http::auth::Caller;
use crate::http::connections::ClientAddress;
use crate::http::jobs::bytes;
use crate::http::path::JobRef;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::{etag, rates};

/// Hands out the input.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kept = desk.store.get(Some(&caller.tenant), &[id], 0).await?.pop();
    let job = kept.ok_or_else(Problem::no_such_job)?.job;
    if etag::has(&headers, &etag::ONLY) {
        return Ok(bytes::not_modified());
    }
    let owner = address.owner(caller.key());
    let input = read(&desk, owner, &job).await?;
    Ok(bytes::answer(input, &job.input.media_type))
}

/// Reads the input of a job that the caller may see; it counts until it is dropped.
pub(crate) async fn read(desk: &Desk, owner: Owner, job: &Job) -> Result<Bytes, Problem> {
    let size = usize::try_from(job.input.size).unwrap_or(usize::MAX);
    let reserved = desk.limits.bytes().reserve(owner, size).await;
    let reserved = reserved.map_err(rates::too_many_bytes)?;
    let input = desk.store.input(None, job.id).await?;
    let input = input.ok_or_else(Problem::no_such_job)?;
    Ok(reserved.count(input.bytes))
}
