//! The pruner: makes the days ahead and gives back the storage of those that are over.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Clock as _, SystemClock};
use clerkwork_store::Store;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;

/// The task's state.
#[derive(Debug)]
pub(crate) struct PrunerTask {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) retention: Duration,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
}

const EVERY: Duration = Duration::from_secs(60);

impl PrunerTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.prune()).await;
    }

    async fn prune(&self) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            self.counters.tell();
            match self.store.prune(self.clock.now(), self.retention).await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(jobs, "jobs past their retention were given up"),
                Err(error) => tracing::warn!(%error, "the store could not be pruned"),
            }
        }
    }
}
