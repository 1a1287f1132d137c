//! `POST /v1/jobs/{id}/retry`: a new job from one that did not succeed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use clerkwork_core::{Job, State as JobState};

use crate::http::auth::Caller;
use crate::http::connections::ClientAddress;
use crate::http::half_close::HalfClose;
use crate::http::jobs::input;
use crate::http::jobs::submit::{self, Asker};
use crate::http::path::JobRef;
use crate::http::prefer::Wait;
use crate::http::problem::{Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::rates;
use crate::limits::Rate;
use crate::{Answer, Desk, Submission};

/// Makes the new job, or answers for the one that was made before.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
    half_close: HalfClose,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = Wait::asked(&headers, half_close, &desk, caller.key());
    // The headers lie in the connection's buffer: a held request must not keep that alive.
    drop(headers);
    let owner = address.owner(caller.key());
    let asker = Asker {
        caller: &caller,
        owner,
    };
    let kept = desk.store.get(Some(&caller.tenant), &[id], 0).await?;
    let original = kept
        .into_iter()
        .next()
        .ok_or_else(Problem::no_such_job)?
        .job;
    check(&original)?;
    if let Some(id) = original.retried_as {
        return submit::again(&desk, &asker, id, &wait)
            .await?
            .ok_or_else(gone);
    }
    rates::take(&desk, caller.key(), Rate::Submit)?;
    let input = input::read(&desk, owner, &original).await?;
    let submission = Submission {
        tenant: caller.tenant.clone(),
        queue: original.queue,
        spec: original.spec,
        delay: Duration::ZERO,
        input,
        input_type: original.input.media_type,
        key: None,
        retry_of: Some(id),
        watch: wait.holds(),
    };
    match desk.intake.submit(submission).await? {
        Answer::New { job, watch } => submit::accepted(&desk, &asker, job, watch, &wait).await,
        Answer::Replayed(id) => submit::again(&desk, &asker, id, &wait)
            .await?
            .ok_or_else(gone),
        // It was there when it was read: deleted in between.
        Answer::NoOriginal => Err(Problem::no_such_job()),
        Answer::KeyReused | Answer::Unfit => Err(Problem::new(Kind::Internal)),
    }
}

/// Only a job that is done without an output is retried.
fn check(job: &Job) -> Result<(), Problem> {
    let state = job.standing.state;
    match state {
        JobState::Failed | JobState::Cancelled | JobState::Expired => Ok(()),
        JobState::Succeeded => Err(Problem::of_state(Kind::NotRetryable, state.status())),
        _ => Err(Problem::of_state(Kind::NotDone, state.status())),
    }
}

fn gone() -> Problem {
    Problem::because(
        Kind::NotFound,
        "the job that this one was retried as was deleted",
    )
}
