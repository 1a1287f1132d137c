//! One delivery, which is settled once.

use std::sync::Arc;

use crate::Envelope;

/// A message that was delivered to us and is ours until it is settled.
///
/// Settling takes it by value, so it happens once. Dropped unsettled it stays unsettled until its
/// epoch ends, when the broker delivers it to somebody else.
#[derive(Debug)]
pub struct Delivery {
    /// What travelled.
    pub envelope: Envelope,
    /// Whether somebody may have seen it before.
    pub redelivered: bool,
    tag: u64,
    settler: Arc<dyn Settler>,
}

/// What to do with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Done: forget it.
    Ack,
    /// Give it to somebody else.
    Requeue,
}

/// Where deliveries of one epoch are settled; implemented by brokers.
pub trait Settler: Send + Sync + std::fmt::Debug {
    /// Settles the delivery with this tag; does nothing when the epoch is over.
    fn settle(&self, tag: u64, how: Settle);
}

impl Delivery {
    /// Makes a delivery; for brokers.
    #[must_use]
    pub fn new(envelope: Envelope, redelivered: bool, tag: u64, settler: Arc<dyn Settler>) -> Self {
        Self {
            envelope,
            redelivered,
            tag,
            settler,
        }
    }

    /// Takes it off the queue for good. Does nothing when its epoch is over.
    pub fn ack(self) {
        self.settler.settle(self.tag, Settle::Ack);
    }

    /// Gives it back, for somebody else. Does nothing when its epoch is over.
    pub fn requeue(self) {
        self.settler.settle(self.tag, Settle::Requeue);
    }
}
