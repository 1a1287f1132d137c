//! Rows as both databases have them, and what they mean.

use std::sync::Arc;

use bytes::Bytes;
use clerkwork_core::{
    ClerkId, Content, Dispatch, Failure, Job, JobId, Spec, Standing, State, Tag, Trace, UnixMs,
};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    AttemptRow, Blob, Cancel, ClerkRow, Error, Kept, KnownQueue, Taken, Watermark, WorkerRow,
};

/// The columns of a [`JobRow`]; `$of` names the table.
macro_rules! job_columns {
    ($of:literal) => {
        job_columns!(@ $of id tenant queue state rev attempt failures doubts timeout_s
            start_within_s max_attempts retry_delay_s webhook tags trace_parent trace_state
            input_type input_size created_at due_at wake_at started_at finished_at
            cancel_requested_at clerk number worker held unlisted output_type output_size failure
            retry_of retried_as)
    };
    (@ $of:literal $first:ident $($column:ident)*) => {
        concat!($of, ".", stringify!($first) $(, ", ", $of, ".", stringify!($column))*)
    };
}
pub(crate) use job_columns;

/// A row of `jobs` without the bytes of input and output.
#[derive(Debug, FromRow)]
pub(crate) struct JobRow {
    id: Uuid,
    tenant: String,
    queue: String,
    state: i16,
    rev: i32,
    attempt: i32,
    failures: i32,
    doubts: i32,
    timeout_s: i32,
    start_within_s: Option<i32>,
    max_attempts: i32,
    retry_delay_s: i32,
    webhook: Option<String>,
    tags: String,
    trace_parent: Option<String>,
    trace_state: Option<String>,
    input_type: String,
    input_size: i64,
    created_at: i64,
    due_at: i64,
    wake_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    cancel_requested_at: Option<i64>,
    clerk: Option<i64>,
    number: Option<i64>,
    worker: Option<String>,
    held: bool,
    unlisted: bool,
    output_type: Option<String>,
    output_size: Option<i64>,
    failure: Option<String>,
    retry_of: Option<Uuid>,
    retried_as: Option<Uuid>,
}

impl JobRow {
    pub(crate) fn job(self) -> Result<Job, Error> {
        let id = job_id("jobs", self.id)?;
        let bad = |what: &str| corrupt("jobs", format!("job {id}: {what}"));
        let failure = self
            .failure
            .as_deref()
            .map(serde_json::from_str::<Failure>)
            .transpose();
        Ok(Job {
            id,
            queue: self.queue.parse().map_err(|_| bad("queue"))?,
            spec: self.spec().ok_or_else(|| bad("tags"))?,
            standing: self.standing().ok_or_else(|| bad("state"))?,
            tenant: self.tenant.into(),
            input: Content {
                media_type: self.input_type,
                size: unsigned(self.input_size),
            },
            created_at: UnixMs(self.created_at),
            output: self
                .output_type
                .zip(self.output_size)
                .map(|(media_type, size)| Content {
                    media_type,
                    size: unsigned(size),
                }),
            failure: failure.map_err(|_| bad("failure"))?,
            retry_of: self.retry_of.map(|id| job_id("jobs", id)).transpose()?,
            retried_as: self.retried_as.map(|id| job_id("jobs", id)).transpose()?,
        })
    }

    fn spec(&self) -> Option<Spec> {
        let tags: Result<Vec<Tag>, _> =
            self.tags.split_ascii_whitespace().map(str::parse).collect();
        Some(Spec {
            tags: tags.ok()?,
            timeout_s: count(self.timeout_s),
            start_within_s: self.start_within_s.map(count),
            max_attempts: count(self.max_attempts),
            retry_delay_s: count(self.retry_delay_s),
            webhook: self.webhook.clone(),
            trace: self.trace_parent.clone().map(|parent| Trace {
                parent,
                state: self.trace_state.clone(),
            }),
        })
    }

    fn standing(&self) -> Option<Standing> {
        Some(Standing {
            rev: count(self.rev),
            state: State::from_number(self.state)?,
            attempt: count(self.attempt),
            failures: count(self.failures),
            doubts: count(self.doubts),
            due_at: UnixMs(self.due_at),
            wake_at: self.wake_at.map(UnixMs),
            started_at: self.started_at.map(UnixMs),
            finished_at: self.finished_at.map(UnixMs),
            cancel_requested_at: self.cancel_requested_at.map(UnixMs),
            dispatch: self.clerk.zip(self.number).map(|(clerk, number)| Dispatch {
                clerk: ClerkId(clerk),
                number,
            }),
            worker: self.worker.as_deref().map(Arc::from),
            held: self.held,
            unlisted: self.unlisted,
        })
    }
}

/// A job with its output as far as the row has it, and its webhook as JSON.
#[derive(Debug, FromRow)]
pub(crate) struct KeptRow {
    #[sqlx(flatten)]
    job: JobRow,
    output: Option<Vec<u8>>,
    webhook_cell: Option<String>,
}

impl KeptRow {
    pub(crate) fn kept(self) -> Result<Kept, Error> {
        let job = self.job.job()?;
        let webhook = self
            .webhook_cell
            .map(|cell| crate::webhooks::read(job.id, &cell));
        Ok(Kept {
            output: self.output.map(Bytes::from),
            webhook: webhook.transpose()?,
            job,
        })
    }
}

/// A job with its input as far as the row has it.
#[derive(Debug, FromRow)]
pub(crate) struct TakenRow {
    #[sqlx(flatten)]
    job: JobRow,
    input: Option<Vec<u8>>,
}

impl TakenRow {
    /// The job; its input is empty where it is kept beside the row.
    pub(crate) fn taken(self) -> Result<Taken, Error> {
        Ok(Taken {
            job: self.job.job()?,
            input: self.input.map(Bytes::from).unwrap_or_default(),
        })
    }
}

/// Bytes that are kept beside the row.
#[derive(Debug, FromRow)]
pub(crate) struct BesideRow {
    pub(crate) job_id: Uuid,
    pub(crate) bytes: Vec<u8>,
}

/// Input or output.
#[derive(Debug, FromRow)]
pub(crate) struct BlobRow {
    pub(crate) media_type: Option<String>,
    pub(crate) size: Option<i64>,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl BlobRow {
    /// The bytes, which are in the row or `beside` it; `None` if the job has none.
    pub(crate) fn blob(self, id: JobId, beside: Option<Bytes>) -> Result<Option<Blob>, Error> {
        let Some((media_type, size)) = self.media_type.zip(self.size) else {
            return Ok(None);
        };
        let bytes = self
            .bytes
            .map(Bytes::from)
            .or(beside)
            .ok_or_else(|| Error::Corrupt {
                table: "bytes",
                detail: format!("job {id}: its bytes are missing"),
            })?;
        let content = Content {
            media_type,
            size: unsigned(size),
        };
        Ok(Some(Blob { content, bytes }))
    }
}

/// A row of `attempts`.
#[derive(Debug, FromRow)]
pub(crate) struct HistoryRow {
    attempt: i32,
    worker: Option<String>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    failure: Option<String>,
}

impl HistoryRow {
    pub(crate) fn attempt(self) -> Result<AttemptRow, Error> {
        let failure = self
            .failure
            .as_deref()
            .map(serde_json::from_str::<Failure>)
            .transpose();
        Ok(AttemptRow {
            attempt: count(self.attempt),
            worker: self.worker,
            started_at: self.started_at.map(UnixMs),
            finished_at: self.finished_at.map(UnixMs),
            failure: failure.map_err(|_| corrupt("attempts", "a failure".to_owned()))?,
        })
    }
}

/// A row of `clerks`.
#[derive(Debug, FromRow)]
pub(crate) struct ClerkCells {
    id: i64,
    name: String,
    seen_at: i64,
    watermark: i64,
    watermark_at: i64,
    fenced: bool,
}

impl From<ClerkCells> for ClerkRow {
    fn from(row: ClerkCells) -> Self {
        Self {
            id: ClerkId(row.id),
            name: row.name,
            seen_at: UnixMs(row.seen_at),
            watermark: Watermark {
                number: row.watermark,
                at: UnixMs(row.watermark_at),
            },
            fenced: row.fenced,
        }
    }
}

/// A row of `workers`.
#[derive(Debug, FromRow)]
pub(crate) struct WorkerCells {
    id: String,
    seq: i64,
    seen_at: i64,
    in_hand: String,
    about: String,
}

impl WorkerCells {
    pub(crate) fn worker(self) -> Result<WorkerRow, Error> {
        let in_hand = serde_json::from_str(&self.in_hand)
            .map_err(|_| corrupt("workers", format!("worker {}: in_hand", self.id)))?;
        Ok(WorkerRow {
            id: self.id,
            seq: self.seq,
            seen_at: UnixMs(self.seen_at),
            in_hand,
            about: self.about,
        })
    }
}

/// A row of `cancels`.
#[derive(Debug, FromRow)]
pub(crate) struct CancelCells {
    seq: i64,
    job_id: Uuid,
    attempt: i32,
    queue: String,
}

impl CancelCells {
    pub(crate) fn cancel(self) -> Result<Cancel, Error> {
        Ok(Cancel {
            seq: self.seq,
            job: job_id("cancels", self.job_id)?,
            attempt: count(self.attempt),
            queue: queue("cancels", &self.queue)?,
        })
    }
}

/// A row of `queues`.
#[derive(Debug, FromRow)]
pub(crate) struct QueueCells {
    name: String,
    paused: bool,
}

impl QueueCells {
    pub(crate) fn known(self) -> Result<KnownQueue, Error> {
        Ok(KnownQueue {
            name: queue("queues", &self.name)?,
            paused: self.paused,
        })
    }
}

/// The jobs of these rows. One that cannot be read is left out, so that it holds up no others; the log names it.
pub(crate) fn jobs(rows: impl IntoIterator<Item = JobRow>) -> Vec<Job> {
    rows.into_iter()
        .filter_map(|row| readable(row.job()))
        .collect()
}

/// What was read; `None`, and a line in the log, where that could not be understood.
pub(crate) fn readable<T>(read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "a row cannot be read; leaving it out"))
        .ok()
}

pub(crate) fn job_id(table: &'static str, id: Uuid) -> Result<JobId, Error> {
    JobId::from_uuid(id).ok_or_else(|| corrupt(table, format!("{id} is no job's id")))
}

pub(crate) fn queue(table: &'static str, name: &str) -> Result<clerkwork_core::QueueName, Error> {
    name.parse()
        .map_err(|_| corrupt(table, format!("{name:?} is no queue's name")))
}

pub(crate) fn corrupt(table: &'static str, detail: String) -> Error {
    Error::Corrupt { table, detail }
}

/// A number as the databases keep it; theirs are signed.
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A size as the databases keep it.
pub(crate) fn long(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(crate) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The size of some bytes as the databases keep it.
pub(crate) fn size(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// The day whose tables keep the job of this id.
pub(crate) fn day(id: Uuid) -> i32 {
    UnixMs(i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX)).day()
}
