//! `DELETE /v1/jobs/{id}`: hide a job for good.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::JobRef;
use crate::http::problem::{Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::respond;

/// Deletes a job that is done.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
) -> Result<Response, Problem> {
    if desk.recorder.delete(&caller.tenant, id).await? {
        return Ok(respond::empty(StatusCode::NO_CONTENT));
    }
    let kept = desk.store.get(Some(&caller.tenant), &[id], 0).await?;
    let job = kept
        .into_iter()
        .next()
        .ok_or_else(Problem::no_such_job)?
        .job;
    Err(Problem::of_state(
        Kind::NotDone,
        job.standing.state.status(),
    ))
}
