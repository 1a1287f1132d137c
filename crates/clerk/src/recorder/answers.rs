//! What an answer is to the record: a success, an event, or something that cannot be kept.

use clerkwork_core::{Event, Failure, Job, JobId, Retry, event, json, public};

use super::batch::Item;
use super::handle::Followed;
use super::{Answered, Settled};

/// The deepest nesting of a JSON output that is shown inline.
const DEPTH: usize = 100;

/// What a success that cannot be kept is instead: a failure that no attempt can mend.
pub(super) fn cannot_be_kept(answer: &Answered, max_output: usize) -> Option<event::Reply> {
    let event::Reply::Succeeded { media_type, output } = &answer.reply else {
        return None;
    };
    let (kind, detail) = if output.len() > max_output {
        let detail = format!("{} bytes; the limit is {max_output}", output.len());
        (Failure::OUTPUT_TOO_LARGE, detail)
    } else if !is_media_type(media_type) {
        (
            Failure::INVALID_OUTPUT,
            "the output's media type is none".to_owned(),
        )
    } else if public::is_json(media_type) {
        let error = json::check(output, DEPTH).err()?;
        (
            Failure::INVALID_OUTPUT,
            format!("the output is called JSON, but: {error}"),
        )
    } else {
        return None;
    };
    Some(unfit(kind, detail, answer.correlation.attempt))
}

pub(super) fn item(answer: &Answered, reply: event::Reply) -> Item {
    Item {
        id: answer.correlation.job,
        event: replied(answer, reply),
        dispatched_by: Some(answer.correlation.clerk),
    }
}

pub(super) fn replied(answer: &Answered, reply: event::Reply) -> Event {
    Event::Replied {
        attempt: answer.correlation.attempt,
        reply,
        worker: answer.worker.clone(),
        started_at: answer.started_at,
    }
}

pub(super) fn unfit(kind: &str, detail: String, attempt: u32) -> event::Reply {
    event::Reply::Failed {
        failure: Failure::new(kind, detail, attempt),
        retry: Retry::Never,
    }
}

/// The reply in place of one that the store refuses.
pub(super) fn unstorable(attempt: u32) -> event::Reply {
    let detail = "the store cannot keep the reply".to_owned();
    unfit(Failure::INVALID_OUTPUT, detail, attempt)
}

/// The attempts that were told to stop and have answered now.
pub(super) fn stopped(settled: &[Settled]) -> Vec<(JobId, u32)> {
    let done = settled.iter().map(|settled| &settled.job);
    done.filter(|job| was_asked_to_stop(job))
        .map(|job| (job.id, job.standing.attempt))
        .collect()
}

/// The same of other answers, some of which may have changed nothing.
pub(super) fn stopped_by(answers: &[Answered], followed: &[Followed]) -> Vec<(JobId, u32)> {
    let followed = followed.iter().map(|followed| followed.job.as_ref());
    let stopped = |job: Option<&Job>| job.is_some_and(was_asked_to_stop);
    answers
        .iter()
        .zip(followed)
        .filter(|(_, job)| stopped(*job))
        .map(|(answer, _)| (answer.correlation.job, answer.correlation.attempt))
        .collect()
}

fn was_asked_to_stop(job: &Job) -> bool {
    job.standing.cancel_requested_at.is_some()
}

/// Whether clients can be told this media type in a header.
fn is_media_type(text: &str) -> bool {
    let (kind, rest) = text.split_once('/').unwrap_or_default();
    !kind.is_empty()
        && !rest.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
