//! A job as clients see it: the object with its output, its note and the headers beside it.

use std::time::Duration;

use axum::http::header::{ETAG, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use clerkwork_core::{Clock as _, Job, JobObject, Status, UnixMs};
use clerkwork_store::Kept;
use serde_json::value::RawValue;

use crate::http::hold::{End, Held};
use crate::http::prefer::{PREFERENCE_APPLIED, Wait};
use crate::http::problem::Problem;
use crate::http::{etag, respond};
use crate::{Desk, Shown};

/// A job as it was read, with its output inlined.
pub(crate) fn shown(desk: &Desk, kept: Kept) -> Shown {
    let mut shown = without_output(desk, &kept.job);
    if let Some(output) = kept.output.and_then(|bytes| inline(bytes.into())) {
        shown.job.show_output(output);
    }
    shown
}

/// A job as it was told by a part of the clerk, which does not bring outputs along.
pub(crate) fn without_output(desk: &Desk, job: &Job) -> Shown {
    Shown {
        rev: job.standing.rev,
        job: JobObject::of(job, desk.config.retention),
    }
}

/// `None` where the bytes are no JSON after all: then they are shown at their own address only.
fn inline(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(bytes).ok()?).ok()
}

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
}

/// How long a job that is not done can be watched by the URL that is shown now.
const WATCHABLE: Duration = Duration::from_secs(24 * 3600);

fn watch_url(desk: &Desk, job: &JobObject) -> String {
    let expiry = job.expires_at;
    let expiry = expiry.unwrap_or_else(|| desk.clock.now().after(WATCHABLE));
    let token = desk.watch_seal.token(job.id, expiry);
    format!("/v1/jobs/{}/events?token={token}", job.id)
}

/// Answers with a job: 200 if it is done, else `unfinished`.
pub(crate) async fn answer(
    desk: &Desk,
    held: &Held,
    wait: Wait,
    unfinished: StatusCode,
    sight: Sight,
) -> Result<Response, Problem> {
    let job = &held.newest.job;
    let status = if job.done { StatusCode::OK } else { unfinished };
    let mut object = sight.of(desk, job);
    object.note = note(desk, job).await;
    let mut response = respond::json(status, &object)?;
    write_headers(desk, held, wait, response.headers_mut());
    Ok(response)
}

/// Answers that the client has the newest state already.
pub(crate) fn not_modified(desk: &Desk, held: &Held, wait: Wait) -> Response {
    let mut response = respond::empty(StatusCode::NOT_MODIFIED);
    write_headers(desk, held, wait, response.headers_mut());
    response
}

fn write_headers(desk: &Desk, held: &Held, wait: Wait, headers: &mut HeaderMap) {
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
        (End::TimeUp | End::Draining, _) => 1,
        (_, Status::Scheduled) => seconds_until(job.due_at, now).clamp(1, 300),
        _ => (now.since(job.created_at).as_secs() / 4).clamp(1, 15),
    }
}

/// Why nothing happens yet, for people.
async fn note(desk: &Desk, job: &JobObject) -> Option<String> {
    let queue = &job.queue;
    match job.status {
        Status::Scheduled => {
            let seconds = seconds_until(job.due_at, desk.clock.now());
            Some(match last_failure(desk, job).await {
                Some(failure) => format!("retry in {seconds} s after: {failure}"),
                None => format!("due in {seconds} s"),
            })
        }
        Status::Queued if desk.queues.is_paused(queue) => Some(format!("queue {queue} is paused")),
        Status::Queued if desk.queues.workers(queue) == 0 => {
            Some(format!("no worker is connected to queue {queue}"))
        }
        Status::Running if job.cancel_requested_at.is_some() => {
            Some("the worker was told to stop".to_owned())
        }
        _ => None,
    }
}

/// What the last attempt of a job that waits for its retry met.
async fn last_failure(desk: &Desk, job: &JobObject) -> Option<String> {
    if job.attempt == 0 {
        return None;
    }
    // A note is not worth an error.
    let attempts = desk.store.attempts(job.id).await.ok()?;
    let failure = attempts.into_iter().next_back()?.failure?;
    Some(failure.detail.unwrap_or(failure.title))
}

/// Whole seconds until then, rounded up.
fn seconds_until(then: UnixMs, now: UnixMs) -> u64 {
    u64::try_from(then.since(now).as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_never_negative() {
        assert_eq!(seconds_until(UnixMs(1_001), UnixMs(0)), 2);
        assert_eq!(seconds_until(UnixMs(1_000), UnixMs(0)), 1);
        assert_eq!(seconds_until(UnixMs(0), UnixMs(5)), 0);
    }

    #[test]
    fn only_json_is_inlined() {
        assert_eq!(inline(b"{\"a\":1}".to_vec()).unwrap().get(), "{\"a\":1}");
        assert!(inline(b"{".to_vec()).is_none());
        assert!(inline(b"\xff".to_vec()).is_none());
    }
}
