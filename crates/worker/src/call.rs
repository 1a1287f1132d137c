//! One call of a handler: the attempt, its input, and what it may use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{JobId, Trace, UnixMs};
use tokio_util::sync::CancellationToken;

use crate::Input;
use crate::teller::Teller;

/// Everything about one attempt that a handler may want to know.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) queue: Arc<str>,
    pub(crate) input: Input,
    /// The largest output.
    pub(crate) max_output: usize,
    /// When it will be told to stop.
    pub(crate) deadline: UnixMs,
    /// How long it may run.
    pub(crate) timeout: Duration,
    pub(crate) trace: Option<Trace>,
    pub(crate) stop: CancellationToken,
    /// Cancelled by what runs the attempt once it has begun.
    pub(crate) started: CancellationToken,
    pub(crate) teller: Arc<Teller>,
}

/// What extractors draw from: the worker's state and one attempt.
#[derive(Clone)]
pub struct Context<S> {
    pub(crate) state: S,
    pub(crate) call: Call,
}

impl<S> Context<S> {
    /// The worker's state.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The job's id.
    pub fn job(&self) -> JobId {
        self.call.job
    }

    /// The number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// The job's queue.
    pub fn queue(&self) -> &str {
        &self.call.queue
    }

    /// The job's input.
    pub fn input(&self) -> &Input {
        &self.call.input
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Context({}:{} of {})",
            self.call.job, self.call.attempt, self.call.queue
        )
    }
}
