//! Greets workers that have just connected: they start nothing before.

use std::collections::BTreeMap;

use clerkwork_core::QueueName;
use clerkwork_store::Error;
use clerkwork_wire::v1::{Report, Stopped, WorkerInfo};

use super::{QUEUES, ReportsTask};

/// The most rows that are read at once.
const PAGE: u32 = 1_000;

impl ReportsTask {
    /// Tells new connections of workers what is cancelled and paused. The cancels of a queue are read once
    /// for all of them: a clerk that starts is greeted by every worker.
    pub(super) async fn greet(&self, reports: &[Report]) {
        let workers: Vec<&WorkerInfo> = reports
            .iter()
            .map(|report| &report.worker)
            .filter(|worker| !worker.greeted && self.is_control_queue(&worker.control))
            .collect();
        let mut cancelled: BTreeMap<&str, Vec<Stopped>> = BTreeMap::new();
        for queue in workers.iter().flat_map(|worker| queues(worker)) {
            let Ok(name) = queue.parse() else { continue };
            if cancelled.contains_key(queue) {
                continue;
            }
            match self.cancelled(&name).await {
                Ok(attempts) => cancelled.insert(queue, attempts),
                Err(error) => {
                    tracing::debug!(%error, "workers could not be greeted; they will say so again");
                    return;
                }
            };
        }
        for worker in workers {
            let cancelled: Vec<Stopped> = queues(worker)
                .filter_map(|queue| cancelled.get(queue))
                .flatten()
                .cloned()
                .collect();
            let paused = self.queues.paused_of(worker.queues.keys());
            let clerk = *self.incarnation.borrow();
            self.control
                .greet(&worker.control, clerk, &cancelled, &paused);
        }
    }

    async fn cancelled(&self, queue: &QueueName) -> Result<Vec<Stopped>, Error> {
        let (mut cancelled, mut after) = (Vec::new(), 0);
        loop {
            let rows = self.store.queue_cancels(queue, after, PAGE).await?;
            cancelled.extend(rows.iter().map(|row| Stopped {
                job: row.job.to_string(),
                attempt: row.attempt,
            }));
            match rows.last() {
                Some(last) if rows.len() == PAGE as usize => after = last.seq,
                _ => return Ok(cancelled),
            }
        }
    }
}

fn queues(worker: &WorkerInfo) -> impl Iterator<Item = &str> {
    worker.queues.keys().take(QUEUES).map(String::as_str)
}
