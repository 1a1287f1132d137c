//! A job as clients see it: the object with its output, its note and the headers beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ETAG, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use clerkwork_core::{Clock as _, Job, JobObject, Progress, Status, UnixMs};
use clerkwork_store::Kept;
use serde_json::value::RawValue;

use crate::bytes_in_flight::Owner;
use crate::http::hold::{End, Held};
use crate::http::outputs::SharedOutput;
use crate::http::prefer::{PREFERENCE_APPLIED, Wait};
use crate::http::problem::Problem;
use crate::http::{etag, respond};
use crate::{Desk, Shown};

/// A job as it was read, with its output inlined unless that is large.
pub(crate) fn shown(desk: &Desk, kept: Kept) -> Shown {
    Shown::of(kept, desk.config.retention)
}

/// A job as it was told by a part of the clerk, which does not bring outputs along.
pub(crate) fn without_output(desk: &Desk, job: &Job) -> Shown {
    Shown {
        rev: job.standing.rev,
        job: JobObject::of(job, desk.config.retention),
    }
}

/// A job among others: without its output, and with what can be said of it without asking further.
pub(crate) fn listed(desk: &Desk, job: &JobObject) -> JobObject {
    let mut object = Sight::Whole.of(desk, job);
    object.note = brief_note(desk, job);
    object
}

/// An output up to this size is copied into the answer.
const SMALL: usize = 16 * 1024;

/// How much of a job is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All of it, with a URL by which a browser can follow it.
    Whole,
    /// What is for whoever has that URL.
    Watched,
}

impl Sight {
    /// The object as it is shown to those with this sight.
    pub(crate) fn of(self, desk: &Desk, job: &JobObject) -> JobObject {
        let mut object = job.clone();
        object.progress = progress(desk, job);
        match self {
            Self::Whole => object.watch_url = Some(watch_url(desk, job)),
            Self::Watched => {
                object.webhook = None;
                object.tags.clear();
                object.trace_id = None;
                object.watch_url = None;
            }
        }
        object
    }

    /// The same with a word on why nothing happens yet.
    pub(crate) async fn now(self, desk: &Desk, job: &JobObject) -> JobObject {
        let mut object = self.of(desk, job);
        object.note = note(desk, job).await;
        object
    }
}

/// How long a job that is not done can be watched by the URL that is shown now.
const WATCHABLE: Duration = Duration::from_secs(24 * 3600);

fn watch_url(desk: &Desk, job: &JobObject) -> String {
    let expiry = job.expires_at;
    let expiry = expiry.unwrap_or_else(|| desk.clock.now().after(WATCHABLE));
    let token = desk.watch_seal.token(job.id, expiry);
    format!("/v1/jobs/{}/events?token={token}", job.id)
}

/// The output of a job, where that is JSON and too large to be read along with the job.
pub(crate) async fn large_output(
    desk: &Desk,
    owner: Owner,
    held: &Held,
) -> Result<Option<SharedOutput>, Problem> {
    let job = &held.newest.job;
    match job.output_size {
        Some(size) if job.output_omitted => {
            let output = desk.limits.outputs().get(desk, owner, job.id, size).await?;
            Ok(output.filter(SharedOutput::is_json))
        }
        _ => Ok(None),
    }
}

/// The same for what was done already, which no lack of room may make an error: then the output is left
/// out.
pub(crate) async fn large_output_if_possible(
    desk: &Desk,
    owner: Owner,
    held: &Held,
) -> Option<SharedOutput> {
    large_output(desk, owner, held).await.unwrap_or_default()
}

/// Answers with a job: 200 if it is done, else `unfinished`. A large output is not copied.
pub(crate) async fn answer(
    desk: &Desk,
    held: &Held,
    large: Option<SharedOutput>,
    wait: &Wait,
    unfinished: StatusCode,
    sight: Sight,
) -> Result<Response, Problem> {
    let job = &held.newest.job;
    let status = if job.done { StatusCode::OK } else { unfinished };
    let mut object = sight.now(desk, job).await;
    let told = object.output.take_if(|told| told.get().len() > SMALL);
    let output = match (large, told) {
        (Some(large), _) => Some(large.bytes()),
        (None, Some(told)) => Some(Bytes::from_owner(Told(told))),
        (None, None) => None,
    };
    object.output_omitted &= output.is_none();
    let mut response = match output {
        Some(output) => respond::job(status, &object, output)?,
        None => respond::json(status, &object)?,
    };
    write_headers(desk, held, wait, response.headers_mut());
    Ok(response)
}

/// The output that was told to all who wait for a job.
struct Told(Arc<RawValue>);

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        self.0.get().as_bytes()
    }
}

/// Answers that the client has the newest state already.
pub(crate) fn not_modified(desk: &Desk, held: &Held, wait: &Wait) -> Response {
    let mut response = respond::empty(StatusCode::NOT_MODIFIED);
    write_headers(desk, held, wait, response.headers_mut());
    response
}

fn write_headers(desk: &Desk, held: &Held, wait: &Wait, headers: &mut HeaderMap) {
    headers.insert(ETAG, etag::of_rev(held.newest.rev));
    if let Some(applied) = wait.applied() {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    if !held.newest.job.done {
        let seconds = retry_after(&held.newest.job, held.end, desk.clock.now());
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// When to ask again about a job that is not done.
pub(crate) fn retry_after(job: &JobObject, end: End, now: UnixMs) -> u64 {
    match (end, job.status) {
        (End::TimeUp | End::Draining | End::HalfClosed, _) => 1,
        (_, Status::Scheduled) => seconds_until(job.due_at, now).clamp(1, 300),
        _ => (now.since(job.created_at).as_secs() / 4).clamp(1, 15),
    }
}

/// How far the current attempt of a running job has come, where it told.
fn progress(desk: &Desk, job: &JobObject) -> Option<Progress> {
    let runs = job.status == Status::Running;
    runs.then(|| desk.hub.progress(job.id, job.attempt))?
}

/// Why nothing happens yet, for people.
async fn note(desk: &Desk, job: &JobObject) -> Option<String> {
    if job.status == Status::Queued && desk.queues.workers(&job.queue) == 0 {
        desk.queues
            .look_for_workers(std::iter::once(&job.queue))
            .await;
    }
    let note = brief_note(desk, job)?;
    match last_failure(desk, job).await {
        Some(failure) => Some(format!("{note} after: {failure}")),
        None => Some(note),
    }
}

/// The same without what the last attempt met.
fn brief_note(desk: &Desk, job: &JobObject) -> Option<String> {
    let queue = &job.queue;
    match job.status {
        Status::Scheduled => {
            let seconds = seconds_until(job.due_at, desk.clock.now());
            let what = if job.attempt == 0 { "due" } else { "retry" };
            Some(format!("{what} in {seconds} s"))
        }
        Status::Queued if desk.queues.is_paused(queue) => Some(format!("queue {queue} is paused")),
        Status::Queued if desk.queues.is_without_workers(queue) => {
            Some(format!("no worker is connected to queue {queue}"))
        }
        Status::Queued => desk
            .queues
            .cannot_start(queue)
            .map(|why| format!("the workers of queue {queue} cannot start jobs: {why}")),
        Status::Running if job.cancel_requested_at.is_some() => {
            Some("the worker was told to stop".to_owned())
        }
        _ => None,
    }
}

/// What the last attempt of a job that waits for its retry met.
async fn last_failure(desk: &Desk, job: &JobObject) -> Option<String> {
    if job.status != Status::Scheduled || job.attempt == 0 {
        return None;
    }
    // A note is not worth an error.
    let attempts = desk.store.attempts(job.id).await.ok()?;
    let failure = attempts.into_iter().next_back()?.failure?;
    Some(failure.detail.unwrap_or(failure.title))
}

/// Whole seconds until then, rounded up.
fn seconds_until(then: UnixMs, now: UnixMs) -> u64 {
    respond::seconds(then.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn seconds_are_rounded_up_and_never_negative() {
        assert_eq!(seconds_until(UnixMs(1_001), UnixMs(0)), 2);
        assert_eq!(seconds_until(UnixMs(1_000), UnixMs(0)), 1);
        assert_eq!(seconds_until(UnixMs(0), UnixMs(5)), 0);
    }

    #[test]
    fn the_older_a_job_the_later_it_is_to_be_asked_for_again() {
        let job = fixture::job("q", UnixMs(0)).job;
        let mut job = JobObject::of(&job, Duration::ZERO);
        let at = |job: &JobObject, end, age_s: i64| retry_after(job, end, UnixMs(age_s * 1_000));
        for status in [Status::Queued, Status::Running] {
            job.status = status;
            for (age, seconds) in [(0, 1), (3, 1), (8, 2), (40, 10), (60, 15), (600, 15)] {
                assert_eq!(at(&job, End::Reached, age), seconds, "{status} for {age} s");
            }
            for end in [End::TimeUp, End::Draining] {
                assert_eq!(at(&job, end, 600), 1, "{status}: {end:?}");
            }
        }
        job.status = Status::Scheduled;
        for (due, seconds) in [(0, 1), (200, 200), (300, 300), (1_000, 300)] {
            job.due_at = UnixMs(due * 1_000);
            assert_eq!(at(&job, End::Reached, 0), seconds, "due in {due} s");
            assert_eq!(at(&job, End::TimeUp, 0), 1);
        }
    }
}
