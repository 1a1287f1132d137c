//! Queues that become known because a worker serves them, or because they have jobs.

use std::time::Duration;

use clerkwork_core::{Clock as _, QueueName};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Queues;

/// The most queues that a fleet may know for one of a worker's to be added. Whoever has more declares them.
const MOST: usize = 1_000;

/// The most queues that are added at once.
const BATCH: usize = 256;

/// The interval at which it is said that no more are added.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Queues {
    /// A worker serves these queues: they will be known.
    pub(crate) fn served<'q>(&self, queues: impl Iterator<Item = &'q String>) {
        let unknown = queues
            .filter_map(|name| name.parse().ok())
            .inspect(|name| self.0.window.announced(name))
            .filter(|name| !self.is_known(name));
        for queue in unknown {
            // Full means that others are being added; the worker says so again.
            let _ = self.0.served.try_send(queue);
        }
    }
}

/// Makes queues known that workers serve, apart from the reports that name them, and those that have jobs, however
/// many there are.
pub(super) async fn learn(
    queues: &Queues,
    mut served: mpsc::Receiver<QueueName>,
    mut with_jobs: mpsc::Receiver<QueueName>,
) {
    let mut said_at: Option<Instant> = None;
    let mut names = Vec::new();
    loop {
        let (first, is_bounded) = tokio::select! {
            biased;
            first = with_jobs.recv() => (first, false),
            first = served.recv() => (first, true),
        };
        let Some(first) = first else { return };
        names.push(first);
        let more = match is_bounded {
            true => &mut served,
            false => &mut with_jobs,
        };
        while names.len() < BATCH
            && let Ok(name) = more.try_recv()
        {
            names.push(name);
        }
        names.retain(|name| !queues.is_known(name));
        names.sort_unstable();
        names.dedup();
        let free = MOST.saturating_sub(queues.known().len());
        if let Some(first) = names.get(free).filter(|_| is_bounded) {
            if said_at.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                said_at = Some(Instant::now());
                tracing::warn!(
                    queue = %first,
                    most = MOST,
                    "a worker's queue is not added, since there are too many: declare it"
                );
            }
            names.truncate(free);
        }
        add(queues, &names).await;
        names.clear();
    }
}

async fn add(queues: &Queues, names: &[QueueName]) {
    if names.is_empty() {
        return;
    }
    let inner = &queues.0;
    let new = match inner.store.declare_queues(names, inner.clock.now()).await {
        Ok(new) => new,
        Err(error) => {
            tracing::warn!(%error, "queues that workers serve, or that have jobs, could not be declared yet");
            return;
        }
    };
    for queue in names {
        queues.know(queue);
        let declared = queues.declare_on_broker(queue, new.contains(queue)).await;
        if let Err(error) = declared
            && !error.is_refusal()
        {
            tracing::warn!(%queue, %error, "a queue with workers or jobs could not be declared on the broker yet");
        }
    }
}
