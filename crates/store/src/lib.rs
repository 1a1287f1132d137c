//! The record of every job: whole use cases over SQLite and PostgreSQL.
//!
//! The store never decides: it compares a version and keeps what `clerkwork_core::transition`
//! decided. Its verbs are whole use cases, each one statement or one transaction, batches from day
//! one. [`Store`] is for everybody; the two hot paths own a connection each: [`Writer`] (new jobs,
//! dispatches and the heartbeat of one clerk) and [`Recorder`] (what became of jobs).
//!
//! # Cancellation
//!
//! A future of this crate that is dropped half-way leaves no open transaction behind: its connection
//! is closed or rolled back. Whether its work was committed is then unknown.
//!
//! # Adding a database
//!
//! Implement the traits in a module of its own and stamp the conformance suite for it.

mod api_keys;
mod cells;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counts;
mod deadline;
mod error;
mod keys;
mod lease;
mod model;
pub mod postgres;
mod refused;
mod rows;
mod search;
mod secrets;
pub mod sqlite;
mod succeed;
mod version;
mod webhooks;

use async_trait::async_trait;
use clerkwork_core::{Change, ClerkId, Job, JobId, KeyId, QueueName, Secret, UnixMs};

pub use api_keys::KnownKey;
pub use error::Error;
pub use model::{
    Accepted, Applied, AttemptRow, Backlog, Blob, Cancel, ClerkRow, Filter, HandOut, Kept, Key,
    KnownQueue, Listed, NewJob, QueueDeletion, QueueStats, Recorded, Succeeded, Success, Taken,
    Watermark, WorkerRow,
};
pub use refused::{apply_each, keep_each_worker, succeed_each};
pub use version::Migrated;
pub use webhooks::{DueWebhook, WebhookChange, Webhooks};

/// The record, for everybody.
#[async_trait]
pub trait Store: Webhooks + Send + Sync + std::fmt::Debug + 'static {
    // --- life of a clerk -----------------------------------------------------------------------

    /// Registers a new incarnation of a clerk and opens its connection. `name` is for people.
    async fn writer(&self, name: &str) -> Result<Box<dyn Writer>, Error>;

    /// Opens the connection of a recorder.
    async fn recorder(&self) -> Result<Box<dyn Recorder>, Error>;

    /// All clerks that are not closed, fenced ones included until nothing of theirs is left.
    async fn clerks(&self) -> Result<Vec<ClerkRow>, Error>;

    /// Takes a silent clerk over: fences it, then doubts its dispatches from its watermark on that no
    /// report has listed and no reply answered, and closes its row. Returns how many were doubted.
    ///
    /// Nothing is done, and 0 returned, if it was heard from after `silent_since` or is closed.
    /// `fence` itself waits for what is in flight on that clerk's row.
    async fn take_over(
        &self,
        clerk: ClerkId,
        silent_since: UnixMs,
        now: UnixMs,
    ) -> Result<u64, Error>;

    /// The secrets that seal correlation ids, the newest last; made at the first call.
    async fn secrets(&self) -> Result<Vec<Secret>, Error>;

    /// The database's time.
    async fn now(&self) -> Result<UnixMs, Error>;

    // --- reading -------------------------------------------------------------------------------

    /// Jobs by id, deleted ones left out, in no order; unknown ids are left out. With `tenant` only
    /// that tenant's. `outputs` is the largest JSON output, in bytes, that comes along.
    async fn get(
        &self,
        tenant: Option<&str>,
        ids: &[JobId],
        outputs: u64,
    ) -> Result<Vec<Kept>, Error>;

    /// The input's bytes.
    async fn input(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error>;

    /// The output's bytes; `None` also where there is no output.
    async fn output(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error>;

    /// The attempts of a job that ended, were lost or given back while the job went on, in order.
    /// The current or last one is in the job's own row.
    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRow>, Error>;

    /// A page of the jobs of a tenant that fit the filter, newest first, without outputs. It costs what is
    /// bounded, whatever the filter, and takes no connection that other verbs need.
    async fn list(&self, tenant: &str, filter: &Filter) -> Result<Listed, Error>;

    // --- queues --------------------------------------------------------------------------------

    /// Declares queues; returns those that were new.
    async fn declare_queues(
        &self,
        queues: &[QueueName],
        now: UnixMs,
    ) -> Result<Vec<QueueName>, Error>;

    /// All known queues.
    async fn queues(&self) -> Result<Vec<KnownQueue>, Error>;

    /// Pauses or resumes a queue; whether it is known.
    async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<bool, Error>;

    /// Deletes a queue that has no job that is not done. A job that is being accepted meanwhile may be
    /// left without it; it is then a job of a queue that nobody declared.
    async fn delete_queue(&self, queue: &QueueName, now: UnixMs) -> Result<QueueDeletion, Error>;

    /// Counts the jobs that wait and run, of one queue or of all.
    async fn queue_stats(
        &self,
        queue: Option<&QueueName>,
        now: UnixMs,
    ) -> Result<Vec<QueueStats>, Error>;

    /// Counts the jobs of each tenant that are not done; tenants without any are left out.
    async fn unfinished(&self, now: UnixMs) -> Result<Vec<(String, u64)>, Error>;

    /// Tells what an idempotency key that is claimed already answers: [`Accepted::Replayed`] or
    /// [`Accepted::KeyReused`]; `None` if it is free. Claims nothing.
    async fn claimed(&self, key: &Key, now: UnixMs) -> Result<Option<Accepted>, Error>;

    // --- API keys ------------------------------------------------------------------------------

    /// Keeps a new key; `false`, and nothing done, if its name is taken.
    async fn add_key(&self, key: &KnownKey) -> Result<bool, Error>;

    /// The keys with these names, or all of them, revoked ones too; the oldest first.
    async fn keys(&self, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error>;

    /// Tells whether there is or ever was a key.
    async fn any_keys(&self) -> Result<bool, Error>;

    /// Revokes a key for good; whether there is one of this name.
    async fn revoke_key(&self, id: KeyId, now: UnixMs) -> Result<bool, Error>;

    // --- what happens later --------------------------------------------------------------------

    /// Claims up to `limit` jobs whose `wake_at` has passed, in its order, and moves their `wake_at`
    /// to `until`, so that nobody else claims them before. Rows that another clerk claims are skipped.
    /// The jobs come back as they are after the claim.
    async fn claim_due(&self, now: UnixMs, until: UnixMs, limit: u32) -> Result<Vec<Job>, Error>;

    /// The queues that have undispatched jobs, with the oldest of each.
    async fn backlog(&self) -> Result<Vec<Backlog>, Error>;

    /// Gives `wake_at` to jobs with ids in `[from, to)` that are dispatched and have none. One
    /// statement per day. Returns how many.
    async fn watch(&self, from: JobId, to: JobId, wake_at: UnixMs) -> Result<u64, Error>;

    /// Dispatched and running jobs, in id order after `after`: for the doubt of everything at an
    /// embedded start.
    async fn out(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error>;

    /// Up to `limit` jobs of a queue that are dispatched and not started, in id order after `after`. Those
    /// without a `wake_at` are looked for among the ids from `recent` on.
    async fn dispatched(
        &self,
        queue: &QueueName,
        recent: JobId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, Error>;

    /// Keeps what workers last said; an older `seq` of a worker changes nothing.
    async fn keep_workers(&self, workers: &[WorkerRow]) -> Result<(), Error>;

    /// Workers by id, or all that were seen since `since`.
    async fn workers(&self, ids: Option<&[String]>, since: UnixMs)
    -> Result<Vec<WorkerRow>, Error>;

    /// Cancels of dispatched jobs that are kept, in `seq` order after `after`.
    async fn cancels(&self, after: i64, limit: u32) -> Result<Vec<Cancel>, Error>;

    /// Those of one queue, in the same order, at the cost of what is returned.
    async fn queue_cancels(
        &self,
        queue: &QueueName,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Cancel>, Error>;

    // --- keeping -------------------------------------------------------------------------------

    /// Makes the days ahead of `now` and gives back the storage of days whose jobs have all been done
    /// for `retention`; forgets old cancels, workers, clerks and idempotency keys. A job whose webhook is
    /// pending is kept. Returns the number of jobs that are gone.
    async fn prune(&self, now: UnixMs, retention: std::time::Duration) -> Result<u64, Error>;

    /// Closes all connections; bounded in time.
    async fn close(&self);
}

/// One incarnation of a clerk: its new jobs, its dispatches and its heartbeat, on one connection.
///
/// After [`Error::Fenced`], [`Error::Unknown`] or [`Error::Unavailable`] the incarnation is over: drop it and ask for
/// another one.
#[async_trait]
pub trait Writer: Send {
    /// This incarnation.
    fn clerk(&self) -> ClerkId;

    /// Accepts new jobs in one transaction, each with its key's claim, and all or none of them
    /// committed; the answers are in the order of the jobs. Jobs whose own data cannot be stored are
    /// answered [`Accepted::Unfit`], with all of their batch, and the others are accepted. An id that is already there is
    /// answered [`Accepted::Already`].
    async fn accept(&mut self, jobs: &[NewJob]) -> Result<Vec<Accepted>, Error>;

    /// Takes up to `limit` undispatched jobs of a queue whose turn it is (by `due_at`, then id), and
    /// makes them dispatched by this clerk under numbers from `first_number` on in that order, as
    /// `transition` would. Jobs that another clerk is just taking are skipped; a paused queue has none.
    async fn hand_out(&mut self, hand_out: &HandOut) -> Result<Vec<Taken>, Error>;

    /// Writes the heartbeat and the watermark; also tells the database's time.
    async fn heartbeat(&mut self, watermark: Watermark, now: UnixMs) -> Result<UnixMs, Error>;

    /// Closes this incarnation's row: nothing of it is in doubt.
    async fn close(&mut self) -> Result<(), Error>;
}

/// The record of what becomes of jobs, on one connection.
///
/// After [`Error::Refused`] nothing of that call was done, and the recorder can be used again: [`succeed_each`] and
/// [`apply_each`] find what was refused. After any other error, and after an answer of [`Succeeded::Unanswered`], it is
/// over: drop it and ask for another one.
#[async_trait]
pub trait Recorder: Send {
    /// Stores successes where the job is not final and the attempt was dispatched, without reading it first. The answers are in
    /// order; several of one job: the first wins. A success that no database could store (a NUL in its media type,
    /// say) is answered [`Succeeded::Unfit`] and does not hold up the others.
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error>;

    /// Loads jobs, deleted ones too, for `transition`; in no order.
    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error>;

    /// Stores changes where the job still has the version they were decided on; in one transaction,
    /// with their outcomes, history rows and cancels. The answers are in order: `false` where the version
    /// had changed or the job is gone. At most one change per job.
    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error>;

    /// Cancels up to `limit` undispatched and scheduled jobs of a queue with ids below `before`, as
    /// `transition` would; which, and their revisions.
    async fn purge(
        &mut self,
        queue: &QueueName,
        before: JobId,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error>;

    /// Hides final jobs of a tenant for good; which of them were visible and final.
    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error>;

    /// Forgets the cancels of attempts that were answered or superseded.
    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error>;
}

/// The size beyond which a job's bytes lie beside its row.
pub const INLINE: usize = 1024;
