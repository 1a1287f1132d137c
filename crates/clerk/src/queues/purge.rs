//! Purges: everything of a queue that waits is cancelled, and its messages are removed from the broker.
//!
//! Only this clerk's dispatches stop meanwhile, which spares work; the others need not know. What was accepted before
//! the purge is cancelled whoever dispatches it: each job is cancelled in the store, undispatched ones first, so that one
//! that is handed out in between is found among the dispatched. What is accepted later may be dispatched by other clerks
//! before the broker's queue is emptied: it is in the store as dispatched before it is published, is found there
//! afterwards, and is dispatched anew.

use std::time::Duration;

use clerkwork_broker::Error;
use clerkwork_core::{Clock as _, Event, Job, QueueName, UnixMs};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::Queues;
use crate::error::Refusal;

/// A purge that a client asks for. It is done to its end although the client may go away.
#[derive(Debug)]
pub(super) struct Purge {
    queue: QueueName,
    /// The number of cancelled jobs.
    answer: oneshot::Sender<Result<u64, Refusal>>,
}

/// The most purges under way at a time.
const AT_ONCE: usize = 8;
/// The longest wait of a purge for others.
const TURN: Duration = Duration::from_secs(2);
/// The most dispatches that are doubted at once.
const UNSEEN: u32 = 1_000;
/// The most by which the clocks of two clerks differ, which both follow the store's.
const CLOCKS: Duration = Duration::from_secs(1);
/// The pause before the store is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Queues {
    /// Cancels everything of a queue that is scheduled or queued, and removes its messages from the broker;
    /// how many jobs that was.
    ///
    /// # Errors
    /// The store is away or did not answer; what was cancelled stays so.
    pub async fn purge(&self, queue: &QueueName) -> Result<u64, Refusal> {
        let (answer, answered) = oneshot::channel();
        let queue = queue.clone();
        let purge = Purge { queue, answer };
        if self.0.purges.send_timeout(purge, TURN).await.is_err() {
            return Err(Refusal::Unavailable(
                "the clerk purges other queues or drains".to_owned(),
            ));
        }
        answered.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    async fn purge_now(&self, queue: &QueueName) -> Result<u64, Refusal> {
        let inner = &self.0;
        // Dispatches go on when this is dropped, whatever comes of the purge.
        let _stopped = inner.window.stop(queue);
        let cancelled = inner
            .recorder
            .purge(queue, self.recent(), inner.clock.now())
            .await?;
        match inner.broker.purge(&inner.names.jobs(queue.as_str())).await {
            Ok(removed) => tracing::info!(%queue, cancelled, removed, "queue purged"),
            Err(Error::Missing(_)) => self.missing(queue),
            Err(error) => tracing::warn!(
                %queue,
                cancelled,
                %error,
                "the jobs are cancelled, but their messages may still be on the broker's queue: \
                 purge it again"
            ),
        }
        self.redispatch(queue, inner.clock.now().after(CLOCKS))
            .await;
        Ok(cancelled)
    }

    /// Dispatches anew what was dispatched until `end` and not cancelled: jobs that came in meanwhile, by
    /// other clerks too. Their messages may have been removed, or published only now, so that they are doubted: what is
    /// known to be gone would not be asked about, and might run twice.
    async fn redispatch(&self, queue: &QueueName, end: UnixMs) {
        let removed = |job: &Job| {
            let standing = &job.standing;
            let before = standing.dispatch.is_some_and(|by| by.at() <= end);
            before && standing.worker.is_none()
        };
        let (recent, mut after) = (self.recent(), None);
        loop {
            let page = async {
                let store = &self.0.store;
                let out = store.dispatched(queue, recent, after, UNSEEN).await?;
                let doubts = out.iter().filter(|job| removed(job)).map(|job| {
                    let attempt = job.standing.attempt;
                    (job.id, Event::Doubted { attempt })
                });
                self.0.recorder.events(doubts.collect()).await?;
                Ok::<_, Refusal>(out.last().map(|last| last.id))
            };
            match page.await {
                Ok(Some(last)) => after = Some(last),
                Ok(None) => return,
                Err(refusal) => {
                    tracing::warn!(%queue, %refusal, "jobs of a purged queue are not redispatched yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Purges queues as clients ask for it.
pub(super) async fn purge_where_asked(queues: &Queues, mut asked: mpsc::Receiver<Purge>) {
    let mut purging = FuturesUnordered::new();
    let purge = async |Purge { queue, answer }| {
        // Whoever asked may have gone away.
        let _ = answer.send(queues.purge_now(&queue).await);
    };
    loop {
        tokio::select! {
            biased;
            Some(()) = purging.next() => {}
            Some(asked) = asked.recv(), if purging.len() < AT_ONCE => purging.push(purge(asked)),
            else => return,
        }
    }
}
