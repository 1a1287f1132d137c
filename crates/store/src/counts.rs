//! What waits and runs in queues, as both databases count it.

use std::collections::BTreeMap;

use clerkwork_core::{QueueName, UnixMs};
use sqlx_macros::FromRow;

use crate::rows::{queue, unsigned};
use crate::{Backlog, Error, KnownQueue, QueueStats};

/// How many jobs of a queue are in a state, and since when the oldest is due.
#[derive(Debug, FromRow)]
pub(crate) struct CountRow {
    queue: String,
    state: i16,
    jobs: i64,
    oldest: Option<i64>,
}

/// The undispatched jobs of a queue.
#[derive(Debug, FromRow)]
pub(crate) struct BacklogRow {
    queue: String,
    oldest: i64,
}

/// How many jobs of a tenant are not done.
#[derive(Debug, FromRow)]
pub(crate) struct TenantRow {
    tenant: String,
    jobs: i64,
}

impl TenantRow {
    pub(crate) fn count(self) -> (String, u64) {
        (self.tenant, unsigned(self.jobs))
    }
}

impl BacklogRow {
    pub(crate) fn backlog(self) -> Result<Backlog, Error> {
        Ok(Backlog {
            queue: queue("jobs", &self.queue)?,
            oldest_due_at: UnixMs(self.oldest),
        })
    }
}

/// What is known of queues, with the counts of their states.
pub(crate) fn tally(
    known: Vec<KnownQueue>,
    name: Option<&QueueName>,
    counts: Vec<CountRow>,
) -> Vec<QueueStats> {
    let mut stats: BTreeMap<String, QueueStats> = known
        .into_iter()
        .filter(|queue| name.is_none_or(|name| queue.name == *name))
        .map(|queue| {
            let key = queue.name.as_str().to_owned();
            let empty = QueueStats {
                queue,
                queued: 0,
                running: 0,
                scheduled: 0,
                oldest_due_at: None,
            };
            (key, empty)
        })
        .collect();
    for row in counts {
        let Some(stats) = stats.get_mut(&row.queue) else {
            continue;
        };
        match row.state {
            0 => stats.scheduled += unsigned(row.jobs),
            3 => stats.running += unsigned(row.jobs),
            _ => {
                stats.queued += unsigned(row.jobs);
                let oldest = row.oldest.map(UnixMs);
                stats.oldest_due_at = [stats.oldest_due_at, oldest].into_iter().flatten().min();
            }
        }
    }
    stats.into_values().collect()
}
