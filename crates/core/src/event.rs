//! What can happen to a job.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::UnixMs;
use crate::job::Dispatch;
use crate::outcome::{Failure, Retry};

/// Something that happened to a job, or that somebody asked for.
#[derive(Clone, Debug)]
pub enum Event {
    /// Its delay or its retry's wait is over.
    Due,
    /// Its start deadline passed. Of a job that is dispatched it is told only when a worker that started
    /// it just in time would have been heard of.
    TooLate {
        /// The attempt under which it is dispatched; `None` of one that is not.
        attempt: Option<u32>,
    },
    /// A clerk gave it out under one of its numbers.
    Dispatched {
        /// Who, and under which number.
        dispatch: Dispatch,
        /// When to look whether anybody has seen it; `None`: the minute's walk will see to it.
        wake_at: Option<UnixMs>,
    },
    /// The dispatch of this attempt may be lost, and it is not known to have started. Of one that a
    /// living worker lists, [`Event::Lost`] is for whoever watches that worker to tell.
    Doubted {
        /// The attempt.
        attempt: u32,
    },
    /// The broker gave the dispatch of this attempt back: it refused it, had no queue for it, or made it a
    /// dead letter. So nothing of it is left on its queue, which needs no time to find out.
    Undelivered {
        /// The attempt.
        attempt: u32,
    },
    /// The broker gave up delivering this attempt on a queue whose workers send no reports. A worker had
    /// it, and nobody else can tell that it did not survive it.
    DeadLettered {
        /// The attempt.
        attempt: u32,
        /// The cause.
        cause: DeadLetterCause,
    },
    /// A worker's report lists this attempt, not started yet.
    Listed {
        /// The attempt.
        attempt: u32,
        /// The worker's incarnation.
        worker: Arc<str>,
    },
    /// A worker's report says that this attempt started.
    Started {
        /// The attempt.
        attempt: u32,
        /// The worker's incarnation.
        worker: Arc<str>,
        /// When.
        at: UnixMs,
    },
    /// A worker asks to hold this attempt under the lease alone.
    Held {
        /// The attempt.
        attempt: u32,
        /// The worker's incarnation.
        worker: Arc<str>,
        /// When it started.
        started_at: UnixMs,
    },
    /// The scheduler looked, and all is well: look again then. What is undispatched has its own time,
    /// which this sets right.
    Watched {
        /// The next look.
        wake_at: UnixMs,
        /// Whether the worker's reports have just left the job out.
        unlisted: bool,
    },
    /// The worker of this attempt is silent, or has not listed it for a whole lease.
    Lost {
        /// The attempt.
        attempt: u32,
    },
    /// A worker answered for this attempt.
    Replied {
        /// The attempt.
        attempt: u32,
        /// The answer.
        reply: Reply,
        /// The worker's incarnation, if it said so.
        worker: Option<Arc<str>>,
        /// When the attempt started, if it said so.
        started_at: Option<UnixMs>,
    },
    /// A worker asks whether it may start a delivery that may have been started before.
    Asked {
        /// The attempt that the delivery names.
        attempt: u32,
        /// The worker's incarnation.
        worker: Arc<str>,
        /// What is known of whoever had the job before.
        before: Before,
    },
    /// A client asks to stop it.
    CancelAsked,
}

/// The cause for which the broker gave up delivering a job that workers had been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterCause {
    /// A worker rejected it.
    Rejected,
    /// It came back unanswered as often as its queue allows.
    DeliveryLimit,
}

/// What is known, where a worker asks for a job, of the worker that had it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing, or not enough yet.
    Unknown,
    /// This one was silent for so long that it counts as dead.
    Silent(Arc<str>),
    /// This one reports, or did until it drained, and does not list the job.
    Without(Arc<str>),
    /// This one reports, and lists the job. It may be the asker, which has it by another delivery.
    Lives(Arc<str>),
}

/// A worker's answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is done.
    Succeeded {
        /// The output's media type.
        media_type: String,
        /// The output.
        output: Bytes,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether to try again.
        retry: Retry,
    },
    /// It was stopped as asked, or never started because it was cancelled.
    Cancelled,
    /// It was not started because its start deadline had passed.
    Expired,
    /// It was started and is given back unfinished; that is no failure.
    Returned,
    /// It could not be started where it was, and is given back; that is no failure.
    NotStarted,
}
