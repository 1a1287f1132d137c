//! What a handler can ask for beside its input.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{JobId, UnixMs};
use tokio_util::sync::CancellationToken;

use crate::{Context, Input, JobError};

/// What can be an argument of a handler after its input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a handler can ask for",
    note = "after the input a handler takes `State`, `Attempt`, `JobId`, `Queue`, `Deadline`, \
            `Trace`, `Progress`, `Cancelled`, `Input`, or a type of yours that implements \
            `FromContext`"
)]
pub trait FromContext<S>: Sized {
    /// Draws it from the attempt.
    ///
    /// # Errors
    /// The attempt fails with this error, unrun.
    fn from_context(context: &Context<S>) -> Result<Self, JobError>;
}

/// How a part of the worker's state is found in the whole.
///
/// The whole is part of itself, so this is needed only where a handler wants less.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of the worker's state `{S}`",
    note = "implement `FromState<{S}>` for it, or ask for `State<{S}>`"
)]
pub trait FromState<S> {
    /// Takes the part.
    fn from_state(state: &S) -> Self;
}

impl<S: Clone> FromState<S> for S {
    fn from_state(state: &S) -> Self {
        state.clone()
    }
}

/// The worker's state, or a part of it ([`FromState`]).
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

/// The number of the attempt, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

/// The name of the job's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue(pub Arc<str>);

/// When the attempt will be told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: UnixMs,
    /// How long the attempt may run in all.
    pub timeout: Duration,
}

/// The W3C trace context that the job came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace(pub Option<clerkwork_core::Trace>);

/// The signal to stop: the job was cancelled, its time is over, or the worker drains.
///
/// A handler that does not end within two seconds after the signal is dropped where it stands.
#[derive(Clone, Debug)]
pub struct Cancelled(CancellationToken);

impl Cancelled {
    /// Waits for the signal.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl<S, T: FromState<S>> FromContext<S> for State<T> {
    fn from_context(context: &Context<S>) -> Result<Self, JobError> {
        Ok(Self(T::from_state(&context.state)))
    }
}

/// Extractors that always succeed.
macro_rules! draw {
    ($type:ty, $call:ident => $value:expr) => {
        impl<S> FromContext<S> for $type {
            fn from_context(context: &Context<S>) -> Result<Self, JobError> {
                let $call = &context.call;
                Ok($value)
            }
        }
    };
}

draw!(JobId, call => call.job);
draw!(Attempt, call => Attempt(call.attempt));
draw!(Queue, call => Queue(Arc::clone(&call.queue)));
draw!(Deadline, call => Deadline { at: call.deadline, timeout: call.timeout });
draw!(Trace, call => Trace(call.trace.clone()));
draw!(Cancelled, call => Cancelled(call.stop.clone()));
draw!(Input, call => call.input.clone());
draw!(crate::Progress, call => crate::Progress::new(Arc::clone(&call.teller)));
