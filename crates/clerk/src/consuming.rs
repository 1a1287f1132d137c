//! One consumer of a clerk, from its beginning until it is lost; both are told to the log.

use clerkwork_broker::{Broker, Consumer, Delivery, Error, Source};

use crate::queues::Queues;

/// Consumes until it is lost.
pub(crate) struct Consuming {
    consumer: Box<dyn Consumer>,
    /// The messages that are consumed, in words.
    what: &'static str,
    /// The bound of a shared queue; a private one keeps the number that it began with.
    prefetch: Option<Prefetch>,
    is_full: bool,
    /// The prefetch has changed since the last deliveries. Of what it has buffered from before, the consumer
    /// hands out a part.
    has_changed: bool,
}

/// The number of messages that may be unsettled, bounded by their bytes from the first one on: it begins
/// small and is doubled as they prove small.
#[derive(Debug)]
struct Prefetch {
    now: u16,
    most: u16,
    /// The largest message, of which later smaller ones are a sign that it will not come again.
    largest: usize,
    /// The messages that came since the number was last changed.
    seen: usize,
}

/// The fewest messages that may be unsettled: none is larger than 15 MiB.
const FEWEST: u16 = 4;
/// The bytes of messages that may be unsettled, roughly: all of them are kept while the store is away.
const BYTES: usize = 64 * 1024 * 1024;

impl Prefetch {
    fn new(most: u16) -> Self {
        Self {
            now: FEWEST.min(most),
            most,
            largest: 0,
            seen: 0,
        }
    }

    /// Records what came.
    fn saw(&mut self, deliveries: &[Delivery]) {
        let sizes = deliveries
            .iter()
            .map(|delivery| delivery.envelope.body.len());
        // What was large is forgotten slowly.
        let faded = self.largest - self.largest / 8;
        self.largest = sizes.max().unwrap_or(0).max(faded);
        self.seen += deliveries.len();
    }

    /// The number from now on, where that changes.
    fn change(&mut self) -> Option<u16> {
        let fitting = fitting(self.largest, self.most);
        let now = if self.seen >= usize::from(self.now) {
            fitting.min(self.now.saturating_mul(2))
        } else {
            fitting.min(self.now)
        };
        if now == self.now {
            return None;
        }
        (self.now, self.seen) = (now, 0);
        Some(now)
    }
}

/// The number of messages of at most so many bytes that may be unsettled: a power of two, so that it
/// changes seldom.
fn fitting(largest: usize, most: u16) -> u16 {
    let (fewest, most) = (usize::from(FEWEST.min(most)), usize::from(most));
    let fitting = (BYTES / largest.max(1)).clamp(fewest, most);
    1 << fitting.ilog2()
}

impl Consuming {
    /// Begins to consume one of the fleet's own queues, once they are declared; `None` where that is not
    /// possible now. One that is gone is declared anew.
    pub(crate) async fn begin_own(
        broker: &dyn Broker,
        queues: &Queues,
        queue: String,
        prefetch: u16,
        what: &'static str,
    ) -> Option<Self> {
        queues.declared().await;
        let begun = Self::try_begin(broker, Source::Queue(queue), prefetch, what).await;
        if let Err(Error::Missing(_)) = &begun {
            queues.own_are_gone();
        }
        begun.ok()
    }

    /// Begins to consume; `None` where that is not possible now.
    pub(crate) async fn begin(
        broker: &dyn Broker,
        from: Source,
        prefetch: u16,
        what: &'static str,
    ) -> Option<Self> {
        Self::try_begin(broker, from, prefetch, what).await.ok()
    }

    /// `most` is the most messages that are ever unsettled.
    async fn try_begin(
        broker: &dyn Broker,
        from: Source,
        most: u16,
        what: &'static str,
    ) -> Result<Self, Error> {
        let shared = matches!(from, Source::Queue(_));
        let prefetch = shared.then(|| Prefetch::new(most));
        let first = prefetch.as_ref().map_or(most, |prefetch| prefetch.now);
        let consumer = broker.consume(from, first).await;
        let consumer = consumer
            .inspect_err(|error| tracing::warn!(%error, "{what} cannot be consumed yet"))?;
        Ok(Self {
            consumer,
            what,
            prefetch,
            is_full: false,
            has_changed: false,
        })
    }

    /// The name of the queue.
    pub(crate) fn queue(&self) -> &str {
        self.consumer.queue()
    }

    /// The next deliveries, at least one and at most `most`; `None` once the consumer is lost. Cancel
    /// safe.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Vec<Delivery>> {
        let next = self.try_next(most).await;
        next.inspect_err(|error| tracing::info!(%error, "the consumer of {} ended", self.what))
            .ok()
    }

    /// Tells the broker of another prefetch where one is due, which [`Consuming::next`] does otherwise; `None`
    /// once the consumer is lost.
    pub(crate) async fn prepare(&mut self) -> Option<()> {
        let changed = self.change_prefetch().await;
        changed
            .inspect_err(|error| tracing::info!(%error, "the consumer of {} ended", self.what))
            .ok()
    }

    /// Tells whether the last deliveries were as many as the broker hands out, so that more may wait there.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    async fn try_next(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        // A number that grows now is that of the deliveries to come.
        let before = self.prefetch.as_ref().map(|prefetch| prefetch.now);
        self.change_prefetch().await?;
        let deliveries = self.consumer.next_batch(most).await?;
        let now = self.prefetch.as_ref().map(|prefetch| prefetch.now);
        let bound = before.min(now).map_or(most, |bound| most.min(bound.into()));
        self.is_full = std::mem::take(&mut self.has_changed) || deliveries.len() >= bound;
        if let Some(prefetch) = &mut self.prefetch {
            prefetch.saw(&deliveries);
        }
        Ok(deliveries)
    }

    async fn change_prefetch(&mut self) -> Result<(), Error> {
        if let Some(now) = self.prefetch.as_mut().and_then(Prefetch::change) {
            self.has_changed = true;
            self.consumer.set_prefetch(now).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use clerkwork_broker::{Envelope, Message, Queue, QueueKind, memory};

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn large_messages_are_held_in_few_and_small_ones_in_many() {
        for bytes in [0, 1, 1_000, 256 * 1024] {
            assert_eq!(fitting(bytes, 256), 256);
        }
        for bytes in [300 * 1024, MIB, 4 * MIB, 15 * MIB] {
            let held = usize::from(fitting(bytes, 256)) * bytes;
            assert!(held <= BYTES && held * 3 > BYTES, "{held} of {bytes} each");
        }
        assert_eq!(fitting(usize::MAX, 256), 4);
        assert_eq!((fitting(1, 100), fitting(1, 2)), (64, 2));
    }

    /// Takes and settles all of a queue's messages; the most bytes and the most messages of one batch.
    async fn held(sizes: &[usize]) -> (usize, usize) {
        let broker = broker().await;
        let largest = Bytes::from(vec![0; sizes.iter().copied().max().unwrap_or(0)]);
        let messages = sizes.iter().map(|size| message(largest.slice(..*size)));
        broker.publish(messages.collect()).await;
        let from = Source::Queue("replies".to_owned());
        let mut consuming = Consuming::begin(&*broker, from, 256, "replies")
            .await
            .unwrap();
        let (mut left, mut bytes, mut count) = (sizes.len(), 0, 0);
        while left > 0 {
            let deliveries = consuming.next(1_000).await.unwrap();
            let held = deliveries.iter().map(|held| held.envelope.body.len());
            bytes = bytes.max(held.sum());
            count = count.max(deliveries.len());
            left -= deliveries.len();
            deliveries.into_iter().for_each(Delivery::ack);
        }
        (bytes, count)
    }

    /// A broker with a queue `replies`.
    async fn broker() -> Arc<dyn Broker> {
        let broker = memory::broker();
        let queue = Queue {
            name: "replies".to_owned(),
            kind: QueueKind::Replies,
            exchange: None,
            dead_letters: None,
        };
        broker.declare(&queue).await.unwrap();
        broker
    }

    fn message(body: Bytes) -> Message {
        Message {
            exchange: String::new(),
            key: "replies".to_owned(),
            durable: true,
            envelope: Envelope {
                body,
                ..Envelope::default()
            },
        }
    }

    #[tokio::test]
    async fn a_batch_is_full_while_more_waits_at_the_broker() {
        const MANY: usize = 1_000;
        let broker = broker().await;
        broker.publish(vec![message(Bytes::new()); MANY]).await;
        let from = Source::Queue("replies".to_owned());
        let mut consuming = Consuming::begin(&*broker, from, 200, "replies")
            .await
            .unwrap();
        let mut left = MANY;
        while left > 0 {
            let deliveries = consuming.next(200).await.unwrap();
            left -= deliveries.len();
            assert!(consuming.is_full() || left == 0, "{left} more wait");
            deliveries.into_iter().for_each(Delivery::ack);
        }
        broker.publish(vec![message(Bytes::new()); 3]).await;
        assert_eq!(consuming.next(200).await.unwrap().len(), 3);
        assert!(!consuming.is_full());
    }

    #[tokio::test]
    async fn a_backlog_of_large_messages_is_bounded_by_bytes_from_the_first() {
        for size in [4 * MIB, 15 * MIB] {
            let (bytes, _) = held(&vec![size; 300]).await;
            assert!(bytes <= BYTES, "{bytes} of {size} each");
        }
    }

    #[tokio::test]
    async fn small_messages_are_soon_taken_in_large_batches() {
        let (_, count) = held(&[100; 2_000]).await;
        assert_eq!(count, 256);
    }
}
