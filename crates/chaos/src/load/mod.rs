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
        spared: bool,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..count {
            let client = Client::new(number, Arc::clone(caller), hook, dice.fork(), spared);
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
