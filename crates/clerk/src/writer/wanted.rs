//! Requests of the scheduler to the writer.

use clerkwork_core::QueueName;
use tokio::sync::oneshot;

use crate::error::Refusal;

/// A part of a queue's backlog that the scheduler wants out.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) queue: QueueName,
    pub(crate) limit: u32,
    /// How many went out.
    pub(crate) answer: oneshot::Sender<Result<u32, Refusal>>,
}
