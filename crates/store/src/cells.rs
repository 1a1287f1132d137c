//! What both databases are told of new jobs, successes and changes, cell by cell.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use clerkwork_core::public::is_json;
use clerkwork_core::{Change, Failure, Job, JobId, Outcome, Spec};
use uuid::Uuid;

use crate::{Error, INLINE, NewJob, Success, WorkerRow};

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
    has_nul(&success.media_type)
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A text that others chose and that must not hold up its neighbours: NULs become U+FFFD.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if has_nul(text) {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// JSON that others had a say in, as people can take it apart in the database: an escape that stands for no
/// character of a text there, which is NUL or half of a pair, becomes U+FFFD. PostgreSQL refuses the
/// whole query for one.
pub(crate) fn storable_json(json: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut rest, mut done) = (json, 0);
    while let Some(at) = rest.find('\\') {
        rest = &rest[at..];
        let length = match escaped(rest) {
            None => 2,
            Some(0xd800..=0xdbff)
                if matches!(rest.get(6..).and_then(escaped), Some(0xdc00..=0xdfff)) =>
            {
                12
            }
            Some(0 | 0xd800..=0xdfff) => {
                let begin = json.len() - rest.len();
                kept.push_str(&json[done..begin]);
                kept.push_str("\\ufffd");
                done = begin + 6;
                6
            }
            Some(_) => 6,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    if done == 0 {
        return json.into();
    }
    kept.push_str(&json[done..]);
    kept.into()
}

/// The number of the escape with which this JSON begins, if it begins with one.
fn escaped(json: &str) -> Option<u16> {
    let digits = json.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// A job's tags as its row has them.
pub(crate) fn tags(spec: &Spec) -> String {
    let tags: Vec<&str> = spec.tags.iter().map(clerkwork_core::Tag::as_str).collect();
    tags.join(" ")
}

/// A failure as its row has it.
pub(crate) fn failure(failure: &Failure) -> Result<String, Error> {
    let json = serde_json::to_string(failure).map_err(|error| Error::Corrupt {
        table: "jobs",
        detail: format!("a failure cannot be written: {error}"),
    })?;
    Ok(storable_json(&json).into_owned())
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
    pub(crate) media_type: Option<Cow<'a, str>>,
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

/// What a worker says of itself as its row has it.
pub(crate) fn about(worker: &WorkerRow) -> String {
    storable(&storable_json(&worker.about)).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_all_escapes_but_those_of_no_character() {
        for kept in [
            r#"{"detail":"plain, \"quoted\" and \u001b[31m"}"#,
            r#"{"detail":"a path: C:\\u0000 and \\\\ud800"}"#,
            r#"["\ud83d\ude00", "\uD83D\uDE00", "\ufffd"]"#,
        ] {
            assert!(matches!(storable_json(kept), Cow::Borrowed(text) if text == kept));
        }
        for (json, stored) in [
            (r#""\u0000\u0000""#, r#""\ufffd\ufffd""#),
            (r#""a\u0000b\\\u0000""#, r#""a\ufffdb\\\ufffd""#),
            (r#""\ud800""#, r#""\ufffd""#),
            (
                r#""\udc00x\ud800\ud83d\ude00\udbff""#,
                r#""\ufffdx\ufffd\ud83d\ude00\ufffd""#,
            ),
            (r#"{"\ud800\n":1}"#, r#"{"\ufffd\n":1}"#),
        ] {
            assert_eq!(storable_json(json), stored);
            serde_json::from_str::<serde_json::Value>(stored).unwrap();
        }
        for cut in [r"\", r"\u", r"\u00", r"\ud800\u", "\\u00\u{e9}0"] {
            storable_json(cut);
        }
    }
}
