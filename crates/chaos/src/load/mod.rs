//! Clients at work on all clerks at once, over HTTP and nothing else.

mod call;
mod client;
mod view;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use call::{Caller, Node};
pub(crate) use view::view;

use crate::dice::Dice;
use client::Client;

/// The jobs that a run's clients submit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// No worker is hurt, so that a job with one attempt must not lose it.
    pub(crate) spares_workers: bool,
    /// Some of the jobs are commands.
    pub(crate) commands: bool,
}

/// Clients that go on until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts `count` clients, whose webhooks go to `hook`.
    pub(crate) fn start(
        count: usize,
        caller: &Arc<Caller>,
        hook: &str,
        dice: &mut Dice,
        habits: Habits,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..count {
            let client = Client::new(number, Arc::clone(caller), hook, dice.fork(), habits);
            clients.spawn(client.run(stop.clone()));
        }
        Self { stop, clients }
    }

    /// Waits until every client has ended what it was about.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
    }
}
