//! One consumer of a clerk, from its beginning until it is lost; both are told to the log.

use clerkwork_broker::{Broker, Consumer, Delivery, Error, Source};

use crate::queues::Queues;

/// Consumes until it is lost.
pub(crate) struct Consuming {
    consumer: Box<dyn Consumer>,
    /// What is consumed, for people.
    what: &'static str,
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

    async fn try_begin(
        broker: &dyn Broker,
        from: Source,
        prefetch: u16,
        what: &'static str,
    ) -> Result<Self, Error> {
        let consumer = broker.consume(from, prefetch).await;
        let consumer = consumer
            .inspect_err(|error| tracing::warn!(%error, "{what} cannot be consumed yet"))?;
        Ok(Self { consumer, what })
    }

    /// The name of the queue.
    pub(crate) fn queue(&self) -> &str {
        self.consumer.queue()
    }

    /// Lets so many be unsettled from now on; `false` once the consumer is lost.
    pub(crate) async fn set_prefetch(&mut self, prefetch: u16) -> bool {
        let set = self.consumer.set_prefetch(prefetch).await;
        set.inspect_err(|error| tracing::info!(%error, "the consumer of {} ended", self.what))
            .is_ok()
    }

    /// The next deliveries, at least one and at most `most`; `None` once the consumer is lost. Cancel
    /// safe.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Vec<Delivery>> {
        match self.consumer.next_batch(most).await {
            Ok(deliveries) => Some(deliveries),
            Err(error) => {
                tracing::info!(%error, "the consumer of {} ended", self.what);
                None
            }
        }
    }
}
