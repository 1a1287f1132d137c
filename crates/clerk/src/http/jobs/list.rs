//! `GET /v1/jobs`: jobs, newest first, in pages.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use clerkwork_core::{JobId, JobObject, State as JobState, Status, UnixMs};
use clerkwork_store::{Filter, Listed};
use serde::Serialize;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::page::{self, Filters};
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::{query, respond, view};

/// Lists jobs.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let Asked { filter, filters } = asked(&uri, &caller, &desk.cursor_secret)?;
    let listed = if filter.queues.iter().all(|queue| caller.may_use(queue)) {
        desk.store.list(&caller.tenant, &filter).await?
    } else {
        Listed::default()
    };
    let jobs = listed
        .jobs
        .into_iter()
        .map(|kept| view::listed(&desk, &view::shown(&desk, kept).job))
        .collect();
    let to = listed.searched_to;
    let page = Page {
        jobs,
        next_cursor: to.map(|to| page::seal(&desk.cursor_secret, to, filters)),
        searched_to: to.map(JobId::moment),
    };
    respond::json(StatusCode::OK, &page)
}

#[derive(Serialize)]
struct Page {
    jobs: Vec<JobObject>,
    next_cursor: Option<String>,
    /// When the last job was accepted that was looked at.
    searched_to: Option<UnixMs>,
}

#[derive(Debug)]
struct Asked {
    filter: Filter,
    filters: Filters,
}

const NAMES: [&str; 7] = [
    "queue",
    "status",
    "tag",
    "created_after",
    "created_before",
    "limit",
    "cursor",
];

fn asked(uri: &Uri, caller: &Caller, secret: &[u8; 32]) -> Result<Asked, Problem> {
    let [queue, status, tag, after, before, limit, cursor] = query::params(uri.query(), NAMES)?;
    let parts = [&queue, &status, &tag, &after, &before].map(|part| part.as_deref());
    let filters = Filters::of([Some(&*caller.tenant)].into_iter().chain(parts));
    let mut complaints = Complaints::default();
    let after: Option<UnixMs> = value("created_after", after.as_ref(), &mut complaints);
    let before: Option<UnixMs> = value("created_before", before.as_ref(), &mut complaints);
    let before = before.map(JobId::first_of);
    let cursor = cursor.and_then(|cursor| match page::open(secret, &cursor, filters) {
        Ok(last) => Some(last),
        Err(error) => {
            complaints.add("cursor", error.to_string());
            None
        }
    });
    let filter = Filter {
        queues: match value("queue", queue.as_ref(), &mut complaints) {
            Some(queue) => vec![queue],
            None => caller.queues().to_vec(),
        },
        states: states_of(status.as_ref(), &mut complaints),
        tag: value("tag", tag.as_ref(), &mut complaints),
        before: [before, cursor].into_iter().flatten().min(),
        // The first moment that is later.
        from: after.map(|after| JobId::first_of(after.after(Duration::from_millis(1)))),
        limit: limit_of(limit.as_ref(), &mut complaints),
    };
    complaints.result(Kind::MalformedRequest)?;
    Ok(Asked { filter, filters })
}

fn value<T: std::str::FromStr<Err: ToString>>(
    name: &str,
    text: Option<&Cow<'_, str>>,
    complaints: &mut Complaints,
) -> Option<T> {
    match text?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            complaints.add(name, error.to_string());
            None
        }
    }
}

/// The states that a client sees as this status.
fn states_of(text: Option<&Cow<'_, str>>, complaints: &mut Complaints) -> Vec<JobState> {
    let Some(text) = text else {
        return Vec::new();
    };
    let Some(status) = Status::from_word(text) else {
        let words = Status::ALL.map(Status::as_str).join(", ");
        complaints.add("status", format!("must be one of {words}"));
        return Vec::new();
    };
    let states = JobState::ALL.into_iter();
    states.filter(|state| state.status() == status).collect()
}

const DEFAULT_LIMIT: u32 = 50;

fn limit_of(text: Option<&Cow<'_, str>>, complaints: &mut Complaints) -> u32 {
    let Some(text) = text else {
        return DEFAULT_LIMIT;
    };
    let limit = text.parse().ok().filter(|limit| (1..=200).contains(limit));
    limit.unwrap_or_else(|| {
        complaints.add("limit", "must be a whole number between 1 and 200");
        DEFAULT_LIMIT
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [1; 32];

    fn read(query: &str) -> Result<Asked, String> {
        let caller = Caller::everybody();
        let uri = format!("/v1/jobs?{query}").parse().unwrap();
        asked(&uri, &caller, &SECRET).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn queued_means_dispatched_too() {
        let states = read("status=queued").unwrap().filter.states;
        assert_eq!(states, [JobState::Queued, JobState::Dispatched]);
    }

    #[test]
    fn both_bounds_of_time_are_exclusive() {
        let filter =
            read("created_after=2026-11-24T10:00:00.004Z&created_before=2026-11-24T10:00:00.006Z");
        let filter = filter.unwrap().filter;
        let moment = filter.from.unwrap().moment();
        assert_eq!(filter.from, Some(JobId::first_of(moment)));
        assert_eq!(moment.to_string(), "2026-11-24T10:00:00.005Z");
        assert_eq!(filter.before.unwrap().moment(), UnixMs(moment.0 + 1));
    }

    #[test]
    fn a_cursor_goes_on_after_its_job_with_the_same_filters_only() {
        let filters = read("queue=a").unwrap().filters;
        let last = JobId::at(UnixMs(1_000));
        let cursor = page::seal(&SECRET, last, filters);
        let next = read(&format!("queue=a&limit=7&cursor={cursor}")).unwrap();
        assert_eq!(next.filter.before, Some(last));
        assert!(
            read(&format!("queue=b&cursor={cursor}"))
                .unwrap_err()
                .contains("other filters")
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let bad = "queue=A&status=done&tag=a%20b&created_after=now&limit=0&cursor=x";
        let told = read(bad).unwrap_err();
        for name in ["queue", "status", "tag", "created_after", "limit", "cursor"] {
            assert!(told.contains(&format!("\"/{name}\"")), "{name}: {told}");
        }
        for bad in ["limit=201", "limit=-1", "limit=1.0", "limit=x", "foo=1"] {
            assert!(read(bad).unwrap_err().contains("MalformedRequest"), "{bad}");
        }
    }
}
