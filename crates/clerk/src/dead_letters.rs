//! Takes what the broker gave up delivering: jobs that were rejected or came back too often, and
//! replies that no clerk could settle.
//!
//! A dead letter proves nothing about its job: a whole prefetch window is counted when one delivery
//! kills its worker, and a rejection carries no reason. So the dispatch is doubted, no failure is
//! counted, and the job goes out again in its turn. A reply is recorded like any other.

use std::time::Duration;

use clerkwork_broker::{Consumer, Delivery, Error, Source};
use clerkwork_core::{Event, JobId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::queues::Queues;
use crate::recorder::{Incoming, RecorderHandle};
use crate::replies::Opener;

/// The task's state.
#[derive(Debug)]
pub(crate) struct DeadLettersTask {
    pub(crate) opener: Opener,
    pub(crate) queues: Queues,
    pub(crate) events: RecorderHandle,
    pub(crate) replies: mpsc::Sender<Incoming>,
    pub(crate) stop: CancellationToken,
}

/// Messages that may be unsettled, and the most taken at once.
const PREFETCH: u16 = 100;
/// The pause between two batches: jobs that somebody rejects again and again go round that slowly.
const PAUSE: Duration = Duration::from_secs(1);

impl DeadLettersTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.consume()).await;
    }

    async fn consume(&self) {
        loop {
            self.queues.declared().await;
            let from = Source::Queue(self.opener.names.dead());
            match self.opener.broker.consume(from, PREFETCH).await {
                Ok(mut consumer) => {
                    let error = self.take(consumer.as_mut()).await;
                    tracing::info!(%error, "the consumer of dead letters ended");
                }
                Err(error) => tracing::warn!(%error, "dead letters cannot be consumed yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn take(&self, consumer: &mut dyn Consumer) -> Error {
        loop {
            let letters = match consumer.next_batch(usize::from(PREFETCH)).await {
                Ok(letters) => letters,
                Err(error) => return error,
            };
            let is_job = |letter: &Delivery| letter.envelope.kind.as_deref() == Some("job");
            let (jobs, replies): (Vec<_>, Vec<_>) = letters.into_iter().partition(is_job);
            for reply in replies {
                if let Some(incoming) = self.opener.open(reply).await
                    && self.replies.send(incoming).await.is_err()
                {
                    return Error::Closed;
                }
            }
            self.doubt(jobs).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Doubts these dispatches, however long the store takes, and only then forgets the letters.
    async fn doubt(&self, jobs: Vec<Delivery>) {
        let events: Vec<(JobId, Event)> = jobs
            .iter()
            .filter_map(|letter| {
                let correlation = letter.envelope.correlation_id.as_deref()?;
                let Some(dispatch) = self.opener.seal.open(correlation) else {
                    Counters::count(&self.opener.counters.forged);
                    return None;
                };
                let attempt = dispatch.attempt;
                Some((dispatch.job, Event::Doubted { attempt }))
            })
            .collect();
        if !events.is_empty() {
            tracing::warn!(jobs = events.len(), "the broker gave up delivering jobs");
            while let Err(refusal) = self.events.events(events.clone()).await {
                tracing::debug!(%refusal, "dead letters could not be recorded yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
        jobs.into_iter().for_each(Delivery::ack);
    }
}
