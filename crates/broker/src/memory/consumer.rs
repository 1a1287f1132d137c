//! One consumer of an in-memory queue.

use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::hub::Hub;
use super::queue::{Seat, Taken};
use crate::{Consumer, Delivery, Error, Source};

/// A seat at a queue; dropping it gives back what is unsettled.
#[derive(Debug)]
pub(super) struct MemoryConsumer {
    hub: Arc<Hub>,
    seat: Arc<Seat>,
}

impl MemoryConsumer {
    pub(super) fn new(hub: &Arc<Hub>, from: Source, prefetch: u16) -> Result<Self, Error> {
        let line = match from {
            Source::Queue(name) => hub.find(&name)?,
            Source::Private {
                prefix,
                exchange,
                declare_exchange,
            } => hub.private(&prefix, &exchange, declare_exchange)?,
        };
        Ok(Self {
            hub: Arc::clone(hub),
            seat: line.join(prefetch),
        })
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        loop {
            let closed = self.hub.closed();
            {
                // Registered before looking, so that nothing that comes in between is missed, and
                // only until it is known to be of use: what wakes a full consumer is lost to others.
                let mut arrived = pin!(self.seat.line().arrived.notified());
                arrived.as_mut().enable();
                match self.seat.take(most) {
                    Taken::Some(deliveries) => return Ok(deliveries),
                    Taken::Over => return Err(Error::Closed),
                    Taken::Full => {}
                    Taken::Empty => {
                        tokio::select! {
                            biased;
                            () = arrived => {}
                            () = closed => {}
                        }
                        continue;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.seat.freed.notified() => {}
                () = closed => {}
            }
        }
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error> {
        self.seat.set_prefetch(prefetch).ok_or(Error::Closed)
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.seat.stop();
        Ok(())
    }

    fn queue(&self) -> &str {
        &self.seat.line().name
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.seat.leave();
        self.hub.forget(self.seat.line());
    }
}
