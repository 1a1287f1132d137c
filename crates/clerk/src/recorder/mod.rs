//! The recorder: what becomes of jobs, decided by `transition` and committed in batches.
//!
//! Replies, workers' reports, the scheduler's events and what clients ask for all come here and
//! nowhere else. A batch is what arrived while the last one was committed. Deliveries are
//! acknowledged after the commit, waiters are told after it.

mod answers;
mod batch;
mod handle;
mod replies;
mod successes;
mod task;

pub use handle::RecorderHandle;
pub(crate) use handle::{Ask, channel};
pub(crate) use task::RecorderTask;

use std::sync::Arc;

use clerkwork_broker::Delivery;
use clerkwork_core::{ClerkId, Correlation, Job, UnixMs, event};
use clerkwork_wire::v1;

/// A message of replies, opened.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) delivery: Delivery,
    pub(crate) answers: Vec<Answered>,
}

/// A reply whose correlation id is ours.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) correlation: Correlation,
    pub(crate) reply: event::Reply,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) started_at: Option<UnixMs>,
    /// As it came, for putting it aside.
    pub(crate) raw: v1::Reply,
}

/// A change that was committed.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// The job as it is now.
    pub(crate) job: Job,
    /// Its JSON output, if that came with the change.
    pub(crate) output: Option<bytes::Bytes>,
    /// The clerk that dispatched it, where a reply told.
    pub(crate) dispatched_by: Option<ClerkId>,
    /// When the dispatch was made that was started or answered by this.
    pub(crate) came_through: Option<UnixMs>,
    /// The attempt whose worker must be told to stop.
    pub(crate) stop: Option<u32>,
}
