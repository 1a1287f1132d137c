//! Takes messages off the reply queue, opens them, and hands them to the recorder.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerkwork_broker::{Broker, Delivery, Message, Published};
use clerkwork_core::{ClerkId, Correlation, Failure, JobId, Retry, Seal, event};
use clerkwork_faults::{Defect, has};
use clerkwork_wire::v1::{self, Refused};
use clerkwork_wire::{Envelope, Names};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::consuming::Consuming;
use crate::counters::Counters;
use crate::events::Hub;
use crate::queues::Queues;
use crate::recorder::{Answered, Incoming};

/// Opens the messages that bring replies.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    pub(crate) names: Names,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) seal: Seal,
    pub(crate) hub: Hub,
    pub(crate) counters: Arc<Counters>,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct RepliesTask {
    pub(crate) opener: Opener,
    pub(crate) queues: Queues,
    pub(crate) recorder: mpsc::Sender<Incoming>,
    pub(crate) stop: CancellationToken,
}

/// The most messages that may be unsettled; each may carry up to 256 outcomes.
const PREFETCH: u16 = 256;
/// The most messages taken at once.
const BATCH: usize = 128;
/// How long to wait before the queue is tried again.
const AGAIN: Duration = Duration::from_millis(500);

impl RepliesTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.consume()).await;
    }

    async fn consume(&self) {
        let broker = &*self.opener.broker;
        loop {
            let (queues, queue) = (&self.queues, self.opener.names.replies());
            let begun = Consuming::begin_own(broker, queues, queue, PREFETCH, "replies").await;
            if let Some(mut consuming) = begun {
                while let Some(deliveries) = consuming.next(BATCH).await
                    && self.opener.pass_on(deliveries, &self.recorder).await
                {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Opener {
    /// Opens messages and hands what they bring to the recorder; `false` where that is gone. What it
    /// did not take comes back.
    pub(crate) async fn pass_on(
        &self,
        deliveries: Vec<Delivery>,
        recorder: &mpsc::Sender<Incoming>,
    ) -> bool {
        for delivery in deliveries {
            if let Some(incoming) = self.open(delivery).await
                && recorder.send(incoming).await.is_err()
            {
                return false;
            }
        }
        true
    }

    /// Opens a message; what nobody may record is counted and dropped here, and never holds up its
    /// neighbours.
    async fn open(&self, delivery: Delivery) -> Option<Incoming> {
        let packed = match v1::decode_replies(&delivery.envelope) {
            Ok(packed) => packed,
            Err(Refused::Version(_)) => {
                self.put_aside(delivery).await;
                return None;
            }
            Err(Refused::Malformed(_)) => {
                Counters::count(&self.counters.forged);
                delivery.ack();
                return None;
            }
        };
        if packed.broken.is_some() {
            Counters::count(&self.counters.broken);
        }
        let answers: Vec<Answered> = packed
            .replies
            .into_iter()
            .filter_map(|reply| self.answer(reply))
            .collect();
        if answers.is_empty() {
            delivery.ack();
            return None;
        }
        Some(Incoming { delivery, answers })
    }

    fn answer(&self, reply: v1::Reply) -> Option<Answered> {
        let word = &reply.head.correlation;
        let opened = self.seal.open(word);
        let Some(correlation) = opened.or_else(|| believed(word)) else {
            Counters::count(&self.counters.forged);
            return None;
        };
        // Before the end is recorded, so that whoever is told of it waits for what is on its way.
        if reply.events() > 0 {
            let (attempt, seq) = (correlation.attempt, reply.events());
            self.hub.told(correlation.job, v1::Told { attempt, seq });
        }
        // Whoever may answer may also end the job, even with words that we do not know.
        let outcome = reply
            .outcome(correlation.attempt)
            .unwrap_or_else(|refused| {
                Counters::count(&self.counters.unfit);
                let detail = refused.to_string();
                event::Reply::Failed {
                    failure: Failure::new(Failure::INVALID_OUTPUT, detail, correlation.attempt),
                    retry: Retry::Never,
                }
            });
        let worker = reply
            .head
            .worker
            .as_deref()
            .filter(|worker| worker.len() <= 128);
        Some(Answered {
            correlation,
            reply: outcome,
            worker: worker.map(Arc::from),
            started_at: reply.started_at(),
            raw: reply,
        })
    }

    /// A reply of a later version waits for a clerk that knows it; its job stays open.
    async fn put_aside(&self, delivery: Delivery) {
        let envelope: Envelope = delivery.envelope.clone();
        let message = Message {
            exchange: String::new(),
            key: self.names.aside(),
            durable: true,
            envelope,
        };
        let published = self.broker.publish(vec![message]).await;
        if published.first() == Some(&Published::Confirmed) {
            Counters::count(&self.counters.aside);
            delivery.ack();
        } else {
            delivery.requeue();
        }
    }
}

/// What a word says whose seal is not ours; only a planted defect believes it.
fn believed(word: &str) -> Option<Correlation> {
    if !has(Defect::NoSeal) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(word).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some(Correlation {
        job: JobId::from_uuid(Uuid::from_slice(bytes.get(..16)?).ok()?)?,
        attempt: number(16)?,
        rev: number(20)?,
        clerk: ClerkId(number(28)?.into()),
    })
}
