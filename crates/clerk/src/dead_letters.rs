//! Takes what the broker gave up delivering: jobs that were rejected or came back too often, and
//! replies that no clerk could settle.
//!
//! A dead letter proves nothing about its job: a whole prefetch window is counted when one delivery
//! kills its worker, and a rejection carries no reason. So no failure is counted, and the job goes out
//! again in its turn. A reply is recorded like any other.

use std::collections::BTreeMap;
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
        self.take_back(jobs).await;
        true
    }

    /// Takes these dispatches back, however long the store takes, and only then forgets the letters.
    async fn take_back(&self, jobs: Vec<Delivery>) {
        let mut events: Vec<(JobId, Event)> = Vec::with_capacity(jobs.len());
        let mut dropped: BTreeMap<(&str, Reason), usize> = BTreeMap::new();
        for letter in &jobs {
            let Some(correlation) = letter.envelope.correlation_id.as_deref() else {
                continue;
            };
            let Some(dispatch) = self.opener.seal.open(correlation) else {
                Counters::count(&self.opener.counters.forged);
                continue;
            };
            let attempt = dispatch.attempt;
            events.push((dispatch.job, Event::Undelivered { attempt }));
            let queue = letter.envelope.headers.text(DEATH_QUEUE).unwrap_or("?");
            *dropped.entry((queue, Reason::of(letter))).or_default() += 1;
        }
        for ((queue, reason), jobs) in dropped {
            tracing::warn!(queue, jobs, reason = reason.words(), "{}", reason.advice());
        }
        while let Err(refusal) = self.events.events(events.clone()).await {
            tracing::debug!(%refusal, "dead letters could not be recorded yet");
            tokio::time::sleep(PAUSE).await;
        }
        jobs.into_iter().for_each(Delivery::ack);
    }
}

/// The header in which the broker names the queue that a dead letter was on.
const DEATH_QUEUE: &str = "x-first-death-queue";
/// The header in which the broker says why it is one.
const DEATH_REASON: &str = "x-first-death-reason";

/// Why the broker gave up delivering a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Rejected,
    DeliveryLimit,
    Expired,
    MaxLength,
    Unknown,
}

impl Reason {
    fn of(letter: &Delivery) -> Self {
        match letter.envelope.headers.text(DEATH_REASON) {
            Some("rejected") => Self::Rejected,
            Some("delivery_limit") => Self::DeliveryLimit,
            Some("expired") => Self::Expired,
            Some("maxlen") => Self::MaxLength,
            _ => Self::Unknown,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Rejected => "rejected by a worker",
            Self::DeliveryLimit => "delivered too often",
            Self::Expired => "expired",
            Self::MaxLength => "the queue was full",
            Self::Unknown => "unknown",
        }
    }

    /// The sentence of the log: a policy is an operator's to take away.
    fn advice(self) -> &'static str {
        match self {
            Self::Expired => {
                "queue dropped jobs by a time limit; redispatching them: remove the policy with message-ttl or expires"
            }
            Self::MaxLength => {
                "queue dropped jobs by a length limit; redispatching them: remove the policy with max-length"
            }
            Self::Rejected | Self::DeliveryLimit | Self::Unknown => {
                "broker gave up delivering jobs; redispatching them: look at the queue's workers"
            }
        }
    }
}
