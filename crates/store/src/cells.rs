//! What both databases are told of new jobs, successes and changes, cell by cell.

use std::collections::{BTreeMap, HashMap, HashSet};

use clerkwork_core::public::is_json;
use clerkwork_core::{Change, Failure, Job, JobId, Outcome, Spec};
use uuid::Uuid;

use crate::{Error, Filter, INLINE, NewJob, Success, WorkerRow};

/// Whether some text of a job cannot be stored: PostgreSQL has no NUL in texts, so neither database
/// takes one.
fn is_unfit(new: &NewJob) -> bool {
    let job = &new.job;
    let trace = job.spec.trace.as_ref();
    let texts = [
        Some(job.tenant.as_ref()),
        Some(job.input.media_type.as_str()),
        job.spec.webhook.as_deref(),
        trace.map(|trace| trace.parent.as_str()),
        trace.and_then(|trace| trace.state.as_deref()),
    ];
    texts.into_iter().flatten().any(has_nul)
}

/// Adds to the jobs that cannot be stored those that came with one of them.
pub(crate) fn spread_unfit(jobs: &[NewJob], unfit: &mut [bool]) {
    let batches: HashSet<JobId> = jobs
        .iter()
        .zip(&*unfit)
        .filter_map(|(new, unfit)| new.batch.filter(|_| *unfit))
        .collect();
    for (new, unfit) in jobs.iter().zip(unfit) {
        *unfit |= new.batch.is_some_and(|batch| batches.contains(&batch));
    }
}

/// Which of these jobs cannot be stored.
pub(crate) fn unfit(jobs: &[NewJob]) -> Vec<bool> {
    let mut unfit: Vec<bool> = jobs.iter().map(is_unfit).collect();
    spread_unfit(jobs, &mut unfit);
    unfit
}

/// Whether a success cannot be stored.
pub(crate) fn is_unfit_success(success: &Success) -> bool {
    has_nul(&success.media_type) || success.worker.as_deref().is_some_and(has_nul)
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A text that others chose and that must not hold up its neighbours: NULs become U+FFFD.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A job's tags as its row has them.
pub(crate) fn tags(spec: &Spec) -> String {
    let tags: Vec<&str> = spec.tags.iter().map(clerkwork_core::Tag::as_str).collect();
    tags.join(" ")
}

/// A failure as its row has it.
pub(crate) fn failure(failure: &Failure) -> Result<String, Error> {
    serde_json::to_string(failure).map_err(|error| Error::Corrupt {
        table: "jobs",
        detail: format!("a failure cannot be written: {error}"),
    })
}

/// The bytes if they belong into the row.
pub(crate) fn inline(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() <= INLINE).then_some(bytes)
}

/// The bytes if they belong beside the row.
pub(crate) fn beside(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() > INLINE).then_some(bytes)
}

/// The outcome of a change as its row has it.
#[derive(Debug, Default)]
pub(crate) struct Ending<'a> {
    pub(crate) media_type: Option<String>,
    pub(crate) size: Option<i64>,
    pub(crate) output: Option<&'a [u8]>,
    pub(crate) failure: Option<String>,
}

impl<'a> Ending<'a> {
    pub(crate) fn of(change: &'a Change) -> Result<Self, Error> {
        Ok(match &change.outcome {
            Some(Outcome::Succeeded { media_type, output }) => Self {
                media_type: Some(storable(media_type)),
                size: i64::try_from(output.len()).ok(),
                output: Some(output),
                failure: None,
            },
            Some(Outcome::Failed(why)) => Self {
                failure: Some(failure(why)?),
                ..Self::default()
            },
            Some(Outcome::Cancelled | Outcome::Expired) | None => Self::default(),
        })
    }
}

/// The first ids whose bytes, given beside them, are at most `most` together; at least one.
pub(crate) fn first_bytes<T>(sized: Vec<(T, i64)>, most: u64) -> Vec<T> {
    let mut sum = 0;
    let mut first = Vec::with_capacity(sized.len());
    for (id, size) in sized {
        sum += crate::rows::unsigned(size);
        if sum > most && !first.is_empty() {
            break;
        }
        first.push(id);
    }
    first
}

/// Whether a job's output comes along with the job: JSON of at most `most` bytes.
pub(crate) fn brings_along(job: &Job, most: u64) -> bool {
    job.output
        .as_ref()
        .is_some_and(|output| is_json(&output.media_type) && output.size <= most)
}

/// The ids that a filter lets through, from the first to before the last.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) from: Uuid,
    pub(crate) before: Uuid,
}

impl Span {
    pub(crate) fn of(filter: &Filter) -> Self {
        Self {
            from: filter.from.map_or(Uuid::nil(), JobId::uuid),
            before: filter.before.map_or(Uuid::max(), JobId::uuid),
        }
    }
}

/// Of each worker what it said last, in the order of their ids.
pub(crate) fn latest(workers: &[WorkerRow]) -> Vec<&WorkerRow> {
    let mut latest: BTreeMap<&str, &WorkerRow> = BTreeMap::new();
    for worker in workers {
        let known = latest.entry(&worker.id).or_insert(worker);
        if known.seq < worker.seq {
            *known = worker;
        }
    }
    latest.into_values().collect()
}

/// What a worker has in hand as its row has it.
pub(crate) fn in_hand(worker: &WorkerRow) -> Result<String, Error> {
    serde_json::to_string(&worker.in_hand).map_err(|error| Error::Corrupt {
        table: "workers",
        detail: format!(
            "what worker {} has in hand cannot be written: {error}",
            worker.id
        ),
    })
}

/// The jobs in the order of these ids.
pub(crate) fn in_order(jobs: Vec<Job>, ids: &[Uuid]) -> Vec<Job> {
    let mut by_id: HashMap<Uuid, Job> = jobs.into_iter().map(|job| (job.id.uuid(), job)).collect();
    ids.iter().filter_map(|id| by_id.remove(id)).collect()
}
