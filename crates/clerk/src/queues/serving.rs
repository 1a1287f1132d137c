//! The workers of a queue as clients are told of them: those that report, and the broker's consumers.

use std::collections::HashSet;
use std::time::Duration;

use clerkwork_core::{Clock as _, QueueName};
use clerkwork_store::Error;
use clerkwork_wire::v1::WorkerInfo;
use tokio::time::{Instant, timeout};

use super::Queues;

/// The age up to which a look at a queue's consumers answers a client's question about that queue.
const RECENT: Duration = Duration::from_secs(1);
/// The age up to which it answers for one job among many: a queue whose jobs wait is looked at within it.
const KNOWN: Duration = Duration::from_secs(20);
/// The longest wait of a client's question for looks.
const PATIENCE: Duration = Duration::from_millis(500);

impl Queues {
    /// Counts the workers of a queue: those that say in reports that they serve it, or its consumers at the
    /// last look where these are more.
    #[must_use]
    pub fn workers(&self, queue: &QueueName) -> usize {
        let known = self.known().get(queue).cloned().unwrap_or_default();
        let consumers = known.consumers.map_or(0, |(consumers, _)| consumers);
        known
            .workers
            .max(usize::try_from(consumers).unwrap_or(usize::MAX))
    }

    /// Tells whether it is known that no worker serves a queue: a recent look says so.
    #[must_use]
    pub fn is_without_workers(&self, queue: &QueueName) -> bool {
        self.workers(queue) == 0 && self.is_seen_within(queue, KNOWN)
    }

    /// Looks at the consumers of these queues where the last look is old, as far as there is time.
    pub async fn look_for_workers(&self, queues: impl Iterator<Item = &QueueName>) {
        let looks = async {
            for queue in queues.filter(|queue| !self.is_seen_within(queue, RECENT)) {
                // One after the other; whoever waited may find that it was looked at meanwhile, or that
                // the broker did not answer.
                let _turn = self.0.looking.lock().await;
                if self.begin_look(queue) {
                    self.look_at(queue).await;
                }
            }
        };
        // What was not looked at in time is told as it was known before.
        let _ = timeout(PATIENCE, looks).await;
    }

    /// The names of the queues whose workers send reports: those of every worker that was heard within its
    /// longest lease, even if it drains.
    pub(crate) async fn reported(&self) -> Result<HashSet<String>, Error> {
        let since = self.0.clock.now().before(self.0.config.lease * 3);
        let rows = self.0.store.workers(None, since).await?;
        let about = rows
            .iter()
            .filter_map(|row| serde_json::from_str::<WorkerInfo>(&row.about).ok());
        Ok(about.flat_map(|about| about.queues.into_keys()).collect())
    }

    pub(super) fn saw_consumers(&self, queue: &QueueName, consumers: u64) {
        if let Some(known) = self.known().get_mut(queue) {
            known.consumers = Some((consumers, Instant::now()));
        }
    }

    /// Notes a look that begins now; `false` where one began or was answered lately.
    fn begin_look(&self, queue: &QueueName) -> bool {
        let mut known = self.known();
        let Some(known) = known.get_mut(queue) else {
            return false;
        };
        let seen = known.consumers.map(|(_, at)| at);
        let recent = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() <= RECENT);
        if recent(seen) || recent(known.asked_at) {
            return false;
        }
        known.asked_at = Some(Instant::now());
        true
    }

    fn is_seen_within(&self, queue: &QueueName, span: Duration) -> bool {
        let known = self.known().get(queue).cloned().unwrap_or_default();
        known.consumers.is_some_and(|(_, at)| at.elapsed() <= span)
    }
}
