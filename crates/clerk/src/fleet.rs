//! The other clerks: how many live, and what a dead one left behind.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{ClerkId, Clock as _, SystemClock};
use clerkwork_store::{ClerkRow, Error, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::health::Health;
use crate::settler::Settler;
use crate::window::Window;

/// The task's state.
#[derive(Debug)]
pub(crate) struct FleetTask {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) health: Health,
    pub(crate) settler: Settler,
    pub(crate) window: Window,
    pub(crate) incarnation: watch::Receiver<ClerkId>,
    pub(crate) stop: CancellationToken,
}

/// So many heartbeats missed, and a clerk is taken over.
const SILENT_BEATS: u32 = 10;
/// So many missed, and nobody acts on the silence of workers, whose reports it may have taken.
const LATE_BEATS: u32 = 5;

impl FleetTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&self) {
        let mut every =
            tokio::time::interval(self.config.heartbeat.max(Duration::from_millis(500)));
        loop {
            every.tick().await;
            if let Err(error) = self.look().await {
                self.health.peers(false);
                tracing::debug!(%error, "the other clerks could not be looked at");
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let here = *self.incarnation.borrow();
        let now = self.clock.now();
        let silence = self.config.heartbeat * SILENT_BEATS;
        let silent_since = now.before(silence);
        let clerks = self.store.clerks().await?;
        let others = clerks.iter().filter(|clerk| clerk.id != here);
        let late_since = now.before(self.config.heartbeat * LATE_BEATS);
        let on_time = |clerk: &ClerkRow| !clerk.fenced && clerk.seen_at >= late_since;
        self.health.peers(others.clone().all(on_time));
        let (silent, alive): (Vec<_>, Vec<_>) =
            others.partition(|clerk| clerk.fenced || clerk.seen_at < silent_since);
        self.settler.set_peers(alive.len());
        // Silence proves nothing to somebody who was silent too.
        if !self.health.beats_for(silence) {
            return Ok(());
        }
        for clerk in silent {
            let doubted = self.store.take_over(clerk.id, silent_since, now).await?;
            tracing::info!(clerk = %clerk.id, name = clerk.name, doubted, "a silent clerk was taken over");
            // What it had not dispatched yet waits for us, too.
            self.window.wake();
        }
        Ok(())
    }
}
