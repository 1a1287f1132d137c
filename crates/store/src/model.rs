//! The values that go into the store and come out of it, beside jobs and changes.

use std::sync::Arc;

use bytes::Bytes;
use clerkwork_core::{
    ClerkId, Content, Failure, Job, JobId, QueueName, State, Tag, UnixMs, Webhook,
};

/// A job to accept.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The record as it shall be. Its state is scheduled, queued, or dispatched by the writer's clerk.
    pub job: Job,
    /// The input's bytes.
    pub input: Bytes,
    /// The claim of its idempotency key.
    pub key: Option<Key>,
    /// The first job of the batch that it belongs to. A batch has one key, which is its first job's,
    /// and is stored whole or not at all.
    pub batch: Option<JobId>,
}

impl NewJob {
    /// The job that its key leads to.
    pub(crate) fn first(&self) -> JobId {
        self.batch.unwrap_or(self.job.id)
    }
}

/// An idempotency key and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the tenant and the key.
    pub key: [u8; 32],
    /// SHA-256 of what was asked for with it.
    pub fingerprint: [u8; 32],
}

/// The answer to a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is there.
    New,
    /// A row of this id was there before: it was sent a second time.
    Already,
    /// Its key belongs to this job, asked for in the same words: answer with that one. With
    /// `retry_of`: it was already retried as this job.
    Replayed(JobId),
    /// Its key belongs to something else, or to a job that was deleted.
    KeyReused,
    /// It was made from a job that is not there, not done, or not to be retried.
    NoOriginal,
    /// Its data cannot be stored.
    Unfit,
}

/// The part that is taken from a queue's backlog.
#[derive(Clone, Debug)]
pub struct HandOut {
    /// The queue.
    pub queue: QueueName,
    /// The most that there may be.
    pub limit: u32,
    /// The number of the first one.
    pub first_number: i64,
    /// The time.
    pub now: UnixMs,
    /// Their next look.
    pub wake_at: UnixMs,
}

/// A job that was taken from the backlog, as it is afterwards, with its input.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The job.
    pub job: Job,
    /// The input's bytes.
    pub input: Bytes,
}

/// The lowest number of a clerk that is open, and when it was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The number; the next one to give out if none is open.
    pub number: i64,
    /// The time at which it was given out; now if none is open.
    pub at: UnixMs,
}

/// A clerk as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClerkRow {
    /// The incarnation.
    pub id: ClerkId,
    /// Its name, for people.
    pub name: String,
    /// Its last heartbeat.
    pub seen_at: UnixMs,
    /// Its watermark.
    pub watermark: Watermark,
    /// Tells that it was taken over.
    pub fenced: bool,
}

/// A job with what lies beside it: its output, if that is JSON and small enough, and its webhook.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The job.
    pub job: Job,
    /// The JSON output.
    pub output: Option<Bytes>,
    /// The state of its webhook, once it is done.
    pub webhook: Option<Webhook>,
}

/// The answer to the deletion of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueDeletion {
    /// It is deleted.
    Deleted,
    /// It has jobs that are not done, and stays.
    Unfinished,
    /// It is not known.
    Unknown,
}

/// Bytes with their media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Their media type and size.
    pub content: Content,
    /// The bytes.
    pub bytes: Bytes,
}

/// An attempt of a job's history.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    /// Its number.
    pub attempt: u32,
    /// Its worker.
    pub worker: Option<String>,
    /// The time at which it started.
    pub started_at: Option<UnixMs>,
    /// The time at which it ended.
    pub finished_at: Option<UnixMs>,
    /// The failure with which it ended.
    pub failure: Option<Failure>,
}

/// The jobs to list. Empty parts let everything through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of these queues; of all if there are none.
    pub queues: Vec<QueueName>,
    /// Only in one of these states.
    pub states: Vec<State>,
    /// Only with this tag.
    pub tag: Option<Tag>,
    /// Only with a lower id.
    pub before: Option<JobId>,
    /// Only with this id or a higher one.
    pub from: Option<JobId>,
    /// The most that there may be.
    pub limit: u32,
}

/// A page of a list. It is bounded by what was looked at, too: it may be short, or empty, and not the last.
#[derive(Debug, Default)]
pub struct Listed {
    /// The jobs, newest first.
    pub jobs: Vec<Kept>,
    /// The last job that was looked at: the next page is before it. `None` at the end.
    pub searched_to: Option<JobId>,
}

/// A queue that was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownQueue {
    /// Its name.
    pub name: QueueName,
    /// Tells that nothing of it is dispatched.
    pub paused: bool,
}

/// The jobs that wait and run in a queue, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: KnownQueue,
    /// Jobs that are queued, dispatched ones included.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that are not due.
    pub scheduled: u64,
    /// Since when the oldest queued one is due.
    pub oldest_due_at: Option<UnixMs>,
}

/// A queue's undispatched jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The queue.
    pub queue: QueueName,
    /// The time at which the oldest became due.
    pub oldest_due_at: UnixMs,
}

/// The last words of a worker, as its row has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its incarnation.
    pub id: String,
    /// The number of the report.
    pub seq: i64,
    /// The time at which a clerk took it.
    pub seen_at: UnixMs,
    /// The attempts it has in hand.
    pub in_hand: Vec<(JobId, u32)>,
    /// Its words about itself, JSON.
    pub about: String,
}

/// A success to store.
#[derive(Clone, Debug)]
pub struct Success {
    /// The job.
    pub job: JobId,
    /// The attempt that succeeded.
    pub attempt: u32,
    /// The output's media type.
    pub media_type: String,
    /// The output.
    pub output: Bytes,
    /// The worker's incarnation, if it said so.
    pub worker: Option<Arc<str>>,
    /// The time at which the attempt started, if it said so.
    pub started_at: Option<UnixMs>,
}

/// The row of a job after its success was stored. Whoever knows the job as it was at the
/// revision before knows all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The job's queue.
    pub queue: QueueName,
    /// The revision that the success made.
    pub rev: u32,
}

/// The answer to a success.
#[derive(Clone, Debug)]
pub enum Succeeded {
    /// Recorded.
    Recorded(Recorded),
    /// The job was final before, or the attempt was never dispatched.
    Late,
    /// There is no such job.
    Missing,
    /// It cannot be stored.
    Unfit,
    /// Not judged: the store failed after others of its batch were stored. It is to be given again.
    Unanswered,
}

/// The answer to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Stored.
    Stored,
    /// The version that it was decided on had changed, or the job is gone.
    Outdated,
    /// The database refuses its data.
    Refused,
    /// Not judged: the store failed after others of its batch were stored. It is to be given again.
    Unanswered,
}

impl Applied {
    /// The answer to a change that the database did not refuse.
    pub(crate) const fn of(stored: bool) -> Self {
        match stored {
            true => Self::Stored,
            false => Self::Outdated,
        }
    }
}

/// A cancel that workers must know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Its number, rising.
    pub seq: i64,
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The job's queue.
    pub queue: QueueName,
}
