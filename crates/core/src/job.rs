//! The record of a job.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMs;
use crate::id::{ClerkId, JobId};
use crate::name::{QueueName, Tag};
use crate::outcome::Failure;
use crate::state::State;

/// A job as the record has it, but for the bytes of its input and output.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// The queue it waits in.
    pub queue: QueueName,
    /// What the client asked for; never changes.
    pub spec: Spec,
    /// What its input is.
    pub input: Content,
    /// When it was accepted.
    pub created_at: UnixMs,
    /// Where it stands: all that an event may change.
    pub standing: Standing,
    /// What its output is; only when it succeeded.
    pub output: Option<Content>,
    /// Why it failed; only when it failed.
    pub failure: Option<Failure>,
    /// The job that this one was made from by hand.
    pub retry_of: Option<JobId>,
    /// The job that was made from this one by hand.
    pub retried_as: Option<JobId>,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// For finding jobs again; at most 8.
    pub tags: Vec<Tag>,
    /// How long one attempt may run, in seconds.
    pub timeout_s: u32,
    /// How long after it became due it may start for the first time, in seconds.
    pub start_within_s: Option<u32>,
    /// How many failures end it.
    pub max_attempts: u32,
    /// The wait before the second attempt, in seconds.
    pub retry_delay_s: u32,
    /// Where to tell the outcome.
    pub webhook: Option<String>,
    /// The trace that the client named; see [`Job::trace`].
    pub trace: Option<Trace>,
}

/// The W3C trace context of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The header `traceparent`.
    pub parent: String,
    /// The header `tracestate`.
    pub state: Option<String>,
}

impl Trace {
    /// The trace of a job whose client named none. It is made of the id, so that it need not be kept.
    #[must_use]
    pub fn of_job(id: JobId) -> Self {
        let id = id.uuid().as_u128();
        // A UUID's last 64 bits are never all zeros.
        let span = id & u128::from(u64::MAX);
        Self {
            parent: format!("00-{id:032x}-{span:016x}-01"),
            state: None,
        }
    }

    /// The trace id within `traceparent`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.parent.split('-').nth(1)
    }
}

/// What some bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Their media type.
    pub media_type: String,
    /// How many they are.
    pub size: u64,
}

/// Where a job stands: everything that an event may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Rises with each recorded change of state.
    pub rev: u32,
    /// The state.
    pub state: State,
    /// The number of the last dispatch; 0 before the first. Never reused.
    pub attempt: u32,
    /// How many attempts failed.
    pub failures: u32,
    /// How often a dispatch was doubted; one that was given back counts as the first. Above 0 the worker asks before
    /// it starts the job, and each one above 1 doubles the time that a dispatch may go unseen.
    pub doubts: u32,
    /// When it is or was due.
    pub due_at: UnixMs,
    /// When the scheduler must look at it; `None` where nothing has to happen.
    pub wake_at: Option<UnixMs>,
    /// When an attempt last started.
    pub started_at: Option<UnixMs>,
    /// When it became final.
    pub finished_at: Option<UnixMs>,
    /// When a client asked to stop it.
    pub cancel_requested_at: Option<UnixMs>,
    /// Who dispatched it last; none while it is undispatched.
    pub dispatch: Option<Dispatch>,
    /// The worker whose reports list it, or that answered.
    pub worker: Option<Arc<str>>,
    /// Whether its worker holds it under the lease alone, its delivery acknowledged.
    pub held: bool,
    /// Whether its worker's reports have already left it out for a lease.
    pub unlisted: bool,
}

/// Who dispatched a job, and under which of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The clerk.
    pub clerk: ClerkId,
    /// A number that rises within that clerk's life and begins with its time.
    pub number: i64,
}

/// So many numbers belong to one millisecond; a clerk that gives out more borrows from the next.
const NUMBERS_PER_MS: i64 = 4_096;

impl Dispatch {
    /// The lowest number of this moment. The time is in the number because the row has that anyway:
    /// a column of its own would cost every job.
    #[must_use]
    pub fn first_number(at: UnixMs) -> i64 {
        at.0.saturating_mul(NUMBERS_PER_MS)
    }

    /// When its number was given out, before it was published.
    #[must_use]
    pub fn at(&self) -> UnixMs {
        UnixMs(self.number / NUMBERS_PER_MS)
    }
}

impl Job {
    /// The trace that it belongs to: the client's, or one of its own.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let given = self.spec.trace.clone();
        given.unwrap_or_else(|| Trace::of_job(self.id))
    }

    /// When it expires unless it has started: its start deadline.
    #[must_use]
    pub fn start_by(&self) -> Option<UnixMs> {
        if self.standing.started_at.is_some() {
            return None;
        }
        let seconds = u64::from(self.spec.start_within_s?);
        Some(self.standing.due_at.after(Duration::from_secs(seconds)))
    }

    /// When it expires while it is dispatched and no worker has listed it: so long after its start
    /// deadline as a worker that started it just in time may take to be heard of.
    #[must_use]
    pub fn given_up_at(&self, unheard: Duration) -> Option<UnixMs> {
        Some(self.start_by()?.after(unheard))
    }

    /// When the scheduler must look at it while it is undispatched: at the end of its delay, then at
    /// its start deadline.
    ///
    /// [`Standing::new`] does not know the deadline, so whoever accepts a job that stays queued sets
    /// its `wake_at` from this.
    #[must_use]
    pub fn undispatched_wake_at(&self) -> Option<UnixMs> {
        match self.standing.state {
            State::Scheduled => Some(self.standing.due_at),
            _ => self.start_by(),
        }
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.standing.state.is_final()
    }
}

impl Standing {
    /// A new job that is due at `due_at`: scheduled if that is later than `now`, else queued.
    #[must_use]
    pub fn new(now: UnixMs, due_at: UnixMs) -> Self {
        let waits = due_at > now;
        Self {
            rev: 1,
            state: if waits {
                State::Scheduled
            } else {
                State::Queued
            },
            attempt: 0,
            failures: 0,
            doubts: 0,
            due_at,
            wake_at: waits.then_some(due_at),
            started_at: None,
            finished_at: None,
            cancel_requested_at: None,
            dispatch: None,
            worker: None,
            held: false,
            unlisted: false,
        }
    }
}
