//! How a job is shown, and what its end means for the exit code.

use std::fmt::Write as _;
use std::time::Duration;

use clerkwork_client::{Client, Failure as JobFailure, JobId, JobObject, Status, UnixMs};

use crate::columns::span;
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal, plain};

/// Shows a job as it is.
pub(crate) fn job(terminal: Terminal, job: &JobObject) -> Result<(), Failure> {
    match terminal.format {
        Format::Text => terminal.data(in_words(terminal, job).as_bytes()),
        Format::Json | Format::Jsonl => terminal.json(job),
        Format::None => Ok(()),
    }
}

/// Shows only the id of a job that was made or changed.
pub(crate) fn id(terminal: Terminal, job: &JobObject) -> Result<(), Failure> {
    match terminal.format {
        Format::Text => terminal.line(&job.id.to_string()),
        _ => self::job(terminal, job),
    }
}

/// Waits for a job and shows what came out of it.
pub(crate) async fn end(
    client: &Client,
    terminal: Terminal,
    id: JobId,
    most: Option<Duration>,
) -> Result<Exit, Failure> {
    let mut last = None;
    let job = client
        .follow(id, most, |job| {
            let news = news(job);
            if !job.done && last.as_ref() != Some(&news) {
                terminal.progress(&news);
                last = Some(news);
            }
        })
        .await?;
    came_to(client, terminal, &job).await
}

/// Shows what came out of a job that is done, or that was waited for long enough.
pub(crate) async fn came_to(
    client: &Client,
    terminal: Terminal,
    job: &JobObject,
) -> Result<Exit, Failure> {
    let exit = exit(job);
    match (terminal.format, exit) {
        (Format::Text, Exit::Ok) => terminal.output(&client.output(job.id).await?.bytes)?,
        (Format::Text, Exit::TimedOut) => id(terminal, job)?,
        (Format::Text, _) => {}
        _ => self::job(terminal, job)?,
    }
    if let Some(sentence) = why(job) {
        terminal.note(&sentence);
    }
    Ok(exit)
}

/// The state of a job that goes on, in a line.
pub(crate) fn news(job: &JobObject) -> String {
    let note = job.note.as_ref().map(|note| format!(": {note}"));
    format!("{} {}{}", job.id, job.status, note.unwrap_or_default())
}

/// The exit code that a job's state means.
pub(crate) fn exit(job: &JobObject) -> Exit {
    match job.status {
        Status::Succeeded => Exit::Ok,
        Status::Failed => Exit::JobFailed,
        Status::Cancelled | Status::Expired => Exit::JobStopped,
        Status::Scheduled | Status::Queued | Status::Running => Exit::TimedOut,
    }
}

/// The error of a job or of an attempt, in words.
pub(crate) fn error(error: &JobFailure) -> String {
    let detail = error.detail.as_deref().map(str::trim);
    match detail.filter(|detail| !detail.is_empty()) {
        Some(detail) => detail.to_owned(),
        None => error.title.clone(),
    }
}

/// The time from a start to its end, or to now while it runs.
pub(crate) fn ran(began: Option<UnixMs>, ended: Option<UnixMs>, now: UnixMs) -> String {
    let ran = began.map(|began| span(ended.unwrap_or(now).since(began)));
    ran.unwrap_or_default()
}

/// Why there is no output, in a sentence.
pub(crate) fn why(job: &JobObject) -> Option<String> {
    let id = job.id;
    match job.status {
        Status::Succeeded => None,
        Status::Failed => {
            let error = job.error.as_ref();
            let title = error.map_or("it failed", |error| &error.title);
            let detail = error.and_then(|error| error.detail.as_deref());
            let detail = detail
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            Some(format!("job {id} failed: {title}{detail}"))
        }
        Status::Cancelled => Some(format!("job {id} was cancelled")),
        Status::Expired => Some(format!("job {id} expired: it was not started in time")),
        Status::Scheduled | Status::Queued | Status::Running => Some(format!(
            "job {id} is still {}; go on with `clerkwork wait {id}`",
            job.status
        )),
    }
}

fn in_words(terminal: Terminal, job: &JobObject) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = writeln!(lines, "{name:<9} {value}");
        }
    };
    line("id", Some(job.id.to_string()));
    line("queue", Some(job.queue.to_string()));
    line("status", Some(terminal.status(job.status)));
    line(
        "attempt",
        Some(format!(
            "{} (at most {} failures)",
            job.attempt, job.max_attempts
        )),
    );
    line("tags", (!job.tags.is_empty()).then(|| tags(job)));
    line(
        "progress",
        job.progress.as_ref().map(|it| plain(&progress(it))),
    );
    line(
        "input",
        Some(format!("{}, {} bytes", job.input_type, job.input_size)),
    );
    line("created", Some(time(job.created_at)));
    line(
        "due",
        (job.due_at > job.created_at).then(|| time(job.due_at)),
    );
    line("started", job.started_at.map(time));
    line("finished", job.finished_at.map(time));
    line(
        "cancelled",
        job.cancel_requested_at
            .map(|at| format!("asked for at {}", time(at))),
    );
    line("retry of", job.retry_of.map(|id| id.to_string()));
    line("retried", job.retried_as.map(|id| format!("as {id}")));
    line("note", job.note.as_deref().map(plain));
    let error = job.error.as_ref().and_then(|_| why(job));
    line("error", error.map(|error| plain(&error)));
    line("output", output(job));
    lines
}

fn output(job: &JobObject) -> Option<String> {
    if let Some(output) = &job.output {
        return Some(output.get().to_owned());
    }
    let (media_type, size) = (job.output_type.as_ref()?, job.output_size.unwrap_or(0));
    Some(format!(
        "{media_type}, {size} bytes: `clerkwork output {}`",
        job.id
    ))
}

fn tags(job: &JobObject) -> String {
    job.tags
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// How far a job is, in words.
pub(crate) fn progress(progress: &clerkwork_client::Progress) -> String {
    let part = progress
        .fraction
        .map(|fraction| format!("{:.0}% ", fraction * 100.0));
    format!(
        "{}{}",
        part.unwrap_or_default(),
        progress.message.as_deref().unwrap_or("")
    )
}

/// A time as the contract writes it.
pub(crate) fn time(at: UnixMs) -> String {
    at.to_string()
}
