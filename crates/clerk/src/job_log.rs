//! A line in the log for each job that ends, where [`Config::log_jobs`](crate::Config::log_jobs) is on.

use std::time::Duration;

use clerkwork_core::{Failure, Job, Status};

/// Logs the end of a job; nothing while it goes on.
pub(crate) fn log(job: &Job) {
    let standing = &job.standing;
    let (id, queue, attempts) = (job.id, &job.queue, standing.attempt);
    let ran = ran(job).map(tracing::field::debug);
    match standing.state.status() {
        Status::Succeeded => tracing::info!(%queue, job.id = %id, attempts, ran, "job succeeded"),
        Status::Failed => {
            let error = job.failure.as_ref().map(first_line);
            tracing::info!(%queue, job.id = %id, attempts, ran, error, "job failed");
        }
        Status::Cancelled => tracing::info!(%queue, job.id = %id, "job cancelled"),
        Status::Expired => {
            tracing::info!(%queue, job.id = %id, "job expired: it was not started in time")
        }
        Status::Scheduled | Status::Queued | Status::Running => {}
    }
}

/// The time from the start of the last attempt to its end.
fn ran(job: &Job) -> Option<Duration> {
    let (began, ended) = (job.standing.started_at?, job.standing.finished_at?);
    Some(ended.since(began))
}

/// The first line of an error that says something, or its title.
fn first_line(failure: &Failure) -> &str {
    let lines = failure.detail.as_deref().unwrap_or_default().lines();
    lines
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or(&failure.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_says_something_stands_for_an_error() {
        let line = |detail: Option<&str>| {
            let detail = detail.map(str::to_owned);
            first_line(&Failure::new(Failure::HANDLER_ERROR, detail, 1)).to_owned()
        };
        assert_eq!(line(Some("\n  no such page\nTraceback")), "no such page");
        let title = Failure::new(Failure::HANDLER_ERROR, None, 1).title;
        assert_eq!(line(None), title);
        assert_eq!(line(Some(" \n")), title);
    }
}
