//! Webhooks: what ends here is told to whoever the client named.
//!
//! A row waits in the store for each job that has a webhook and is done; any clerk claims it, sends
//! it and keeps what became of it. A clerk that dies leaves its claims to the others. [`guard`] says
//! where a webhook may go, [`send`] goes there, [`schedule`] says what follows from the answer,
//! [`hosts`] sees to it that a slow host delays no other and no tenant all others, and [`addresses`] that
//! a host of many names is one.

mod addresses;
mod attempt;
mod body;
mod guard;
mod hosts;
mod schedule;
mod secrets;
mod send;
mod task;
#[cfg(test)]
mod tests;

pub use guard::{BadUrl, Guard};
pub(crate) use send::Sender;
pub(crate) use task::WebhooksTask;

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells this clerk's webhooks that one is due; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// There may be one that is due.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
