//! Takes what the broker gave up delivering: jobs that were rejected or came back too often, and
//! replies that no clerk could settle.
//!
//! A dead letter proves nothing about its job: a whole prefetch window is counted when one delivery
//! kills its worker, and a rejection carries no reason. So the dispatch is doubted, no failure is
//! counted, and the job goes out again in its turn. A reply is recorded like any other.

use std::time::Duration;

use clerkwork_broker::Delivery;
use clerkwork_core::{Event, JobId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consuming::Consuming;
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
        let broker = &*self.opener.broker;
        loop {
            let (queues, queue) = (&self.queues, self.opener.names.dead());
            let begun = Consuming::begin_own(broker, queues, queue, PREFETCH, "dead letters").await;
            if let Some(mut consuming) = begun {
                while let Some(letters) = consuming.next(usize::from(PREFETCH)).await
                    && self.take(letters).await
                {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records what these tell; `false` where nobody is left who could.
    async fn take(&self, letters: Vec<Delivery>) -> bool {
        let is_job = |letter: &Delivery| letter.envelope.kind.as_deref() == Some("job");
        let (jobs, replies): (Vec<_>, Vec<_>) = letters.into_iter().partition(is_job);
        if !self.opener.pass_on(replies, &self.replies).await {
            return false;
        }
        self.doubt(jobs).await;
        true
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
