//! `GET /v1/jobs/{id}/attempts`: what was tried, in order.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::{Failure, Job, State as JobState, UnixMs};
use clerkwork_store::AttemptRow;
use serde::Serialize;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::JobRef;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::respond;

/// Lists the attempts of a job that a worker had in hand.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
) -> Result<Response, Problem> {
    let kept = desk.store.get(Some(&caller.tenant), &[id], 0).await?;
    let job = kept
        .into_iter()
        .next()
        .ok_or_else(Problem::no_such_job)?
        .job;
    let earlier = desk.store.attempts(id).await?;
    let mut attempts: Vec<_> = earlier.into_iter().map(Attempt::from).collect();
    attempts.extend(last(&job).filter(|last| {
        attempts
            .last()
            .is_none_or(|earlier| earlier.attempt < last.attempt)
    }));
    respond::json(StatusCode::OK, &Attempts { attempts })
}

#[derive(Serialize)]
struct Attempts {
    attempts: Vec<Attempt>,
}

#[derive(Serialize)]
struct Attempt {
    attempt: u32,
    worker: Option<String>,
    started_at: Option<UnixMs>,
    finished_at: Option<UnixMs>,
    error: Option<Failure>,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            attempt: row.attempt,
            worker: row.worker,
            started_at: row.started_at,
            finished_at: row.finished_at,
            error: row.failure,
        }
    }
}

/// The current or last attempt, which is in the job's own record, if a worker had it in hand.
fn last(job: &Job) -> Option<Attempt> {
    let standing = &job.standing;
    let seen = match standing.state {
        JobState::Scheduled | JobState::Queued | JobState::Expired => false,
        JobState::Dispatched | JobState::Cancelled => standing.worker.is_some(),
        JobState::Running | JobState::Succeeded => true,
        JobState::Failed => job
            .failure
            .as_ref()
            .is_some_and(|failure| failure.attempt == standing.attempt),
    };
    let started = standing.state != JobState::Dispatched;
    seen.then(|| Attempt {
        attempt: standing.attempt,
        worker: standing.worker.as_deref().map(str::to_owned),
        started_at: standing.started_at.filter(|_| started),
        finished_at: standing.finished_at,
        error: job.failure.clone(),
    })
}
