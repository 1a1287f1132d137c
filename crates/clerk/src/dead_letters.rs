//! Takes what the broker gave up delivering: jobs that were rejected or came back too often, and
//! replies that no clerk could settle.
//!
//! A dead letter proves little about its job: a whole prefetch window is counted when one delivery
//! kills its worker, and a rejection carries no reason. So no failure is counted, and the job goes out
//! again in its turn. Only where no worker sends reports nobody else
//! counts the workers that a job has killed: there each dead letter that a worker had is a failure. A
//! reply is recorded like any other.

mod reason;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use clerkwork_broker::Delivery;
use clerkwork_core::{DeadLetterCause, Event, JobId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consuming::Consuming;
use crate::counters::Counters;
use crate::error::Refusal;
use crate::health::Health;
use crate::queues::Queues;
use crate::recorder::{Incoming, RecorderHandle};
use crate::replies::Opener;
use reason::Reason;

/// The task's state.
#[derive(Debug)]
pub(crate) struct DeadLettersTask {
    pub(crate) opener: Opener,
    pub(crate) queues: Queues,
    pub(crate) events: RecorderHandle,
    pub(crate) replies: mpsc::Sender<Incoming>,
    pub(crate) health: Health,
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
        self.take_jobs(jobs).await;
        true
    }

    /// Records what became of these dispatches, however long the store takes, and only then forgets the
    /// letters.
    async fn take_jobs(&self, jobs: Vec<Delivery>) {
        let letters: Vec<Letter> = jobs.iter().filter_map(|job| self.read(job)).collect();
        while let Err(refusal) = self.record(&letters).await {
            tracing::debug!(%refusal, "dead letters could not be recorded yet");
            tokio::time::sleep(PAUSE).await;
        }
        jobs.into_iter().for_each(Delivery::ack);
    }

    fn read(&self, job: &Delivery) -> Option<Letter> {
        let envelope = &job.envelope;
        let correlation = envelope.correlation_id.as_deref()?;
        let Some(dispatch) = self.opener.seal.open(correlation) else {
            Counters::count(&self.opener.counters.forged);
            return None;
        };
        let queue = envelope.headers.text("x-first-death-queue");
        let queue = queue.and_then(|name| name.strip_prefix(&self.opener.names.jobs("")));
        Some(Letter {
            job: dispatch.job,
            attempt: dispatch.attempt,
            queue: queue.map(str::to_owned),
            reason: Reason::of(envelope.headers.text("x-first-death-reason")),
        })
    }

    async fn record(&self, letters: &[Letter]) -> Result<(), Refusal> {
        if letters.is_empty() {
            return Ok(());
        }
        let reported = self.reported(letters).await?;
        let events = letters
            .iter()
            .map(|letter| (letter.job, letter.event(reported.as_ref())));
        let followed = self.events.events(events.collect()).await?;
        let mut dropped: BTreeMap<(&str, Reason), usize> = BTreeMap::new();
        for (letter, followed) in letters.iter().zip(followed) {
            match letter.counted(reported.as_ref()) {
                Some((queue, cause)) if followed.changed => tracing::warn!(
                    job = %letter.job,
                    queue,
                    attempt = letter.attempt,
                    ?cause,
                    "a worker that sends no reports did not answer a job, and the broker gave it up: \
                     counted as a failed attempt; look into that worker's log"
                ),
                Some(_) => {}
                None => {
                    let queue = letter.queue.as_deref().unwrap_or("unknown");
                    *dropped.entry((queue, letter.reason)).or_default() += 1;
                }
            }
        }
        for ((queue, reason), jobs) in dropped {
            tracing::warn!(queue, jobs, reason = reason.words(), "{}", reason.advice());
        }
        Ok(())
    }

    /// The queues whose workers send reports. `None` where nobody can tell, since reports were not heard
    /// well, or where it does not matter.
    async fn reported(&self, letters: &[Letter]) -> Result<Option<HashSet<String>>, Refusal> {
        let matters = letters.iter().any(|letter| letter.reason.cause().is_some());
        if !matters || !self.health.hears_for_a_lease() {
            return Ok(None);
        }
        Ok(Some(self.queues.reported().await?))
    }
}

/// A job that the broker gave up delivering.
struct Letter {
    job: JobId,
    attempt: u32,
    /// Its queue's name.
    queue: Option<String>,
    reason: Reason,
}

impl Letter {
    /// Its queue and its cause, where it counts as a failure: a worker had it, and no worker of that queue
    /// sends reports, so nothing else can tell that the worker did not survive it.
    fn counted(&self, reported: Option<&HashSet<String>>) -> Option<(&str, DeadLetterCause)> {
        let (queue, cause) = (self.queue.as_deref()?, self.reason.cause()?);
        (!reported?.contains(queue)).then_some((queue, cause))
    }

    fn event(&self, reported: Option<&HashSet<String>>) -> Event {
        let attempt = self.attempt;
        match self.counted(reported) {
            Some((_, cause)) => Event::DeadLettered { attempt, cause },
            None => Event::Undelivered { attempt },
        }
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;

    #[test]
    fn a_dead_letter_counts_only_where_a_worker_had_it_that_sends_no_reports() {
        let reported = HashSet::from(["full".to_owned()]);
        let counts = |queue: Option<&str>, reason, reported| {
            let letter = Letter {
                job: JobId::at(UnixMs(1)),
                attempt: 1,
                queue: queue.map(str::to_owned),
                reason,
            };
            matches!(letter.event(reported), Event::DeadLettered { .. })
        };
        for reason in [Reason::Rejected, Reason::DeliveryLimit] {
            assert!(counts(Some("plain"), reason, Some(&reported)));
            assert!(!counts(Some("full"), reason, Some(&reported)));
            assert!(!counts(None, reason, Some(&reported)));
            assert!(!counts(Some("plain"), reason, None), "nobody can tell");
        }
        assert!(
            !counts(Some("plain"), Reason::Expired, Some(&reported)),
            "no worker had it"
        );
    }
}
