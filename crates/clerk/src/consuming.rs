//! One consumer of a clerk, from its beginning until it is lost; both are told to the log.

use clerkwork_broker::{Broker, Consumer, Delivery, Source};

/// Consumes until it is lost.
pub(crate) struct Consuming {
    consumer: Box<dyn Consumer>,
    /// What is consumed, for people.
    what: &'static str,
}

impl Consuming {
    /// Begins to consume; `None` where that is not possible now.
    pub(crate) async fn begin(
        broker: &dyn Broker,
        from: Source,
        prefetch: u16,
        what: &'static str,
    ) -> Option<Self> {
        match broker.consume(from, prefetch).await {
            Ok(consumer) => Some(Self { consumer, what }),
            Err(error) => {
                tracing::warn!(%error, "{what} cannot be consumed yet");
                None
            }
        }
    }

    /// The name of the queue.
    pub(crate) fn queue(&self) -> &str {
        self.consumer.queue()
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
