//! Settling deliveries: many acks in few frames, none of them wrong.
//!
//! Settling is a note on a ledger; the desk's one writer turns the notes into frames. While it
//! writes, more notes gather, so acks coalesce without a timer.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::Epoch;
use crate::{Settle, Settler};

/// How long closing a channel may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Where the deliveries of one channel are settled, as long as it lives.
#[derive(Debug, Default)]
pub(super) struct Desk {
    ledger: Mutex<Ledger>,
    noted: Notify,
    left: CancellationToken,
}

/// What is delivered and not settled, and what is settled and not written.
#[derive(Debug, Default)]
struct Ledger {
    open: BTreeSet<u64>,
    acks: Vec<u64>,
    requeues: Vec<u64>,
    closed: bool,
}

/// A frame to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// Gives one back.
    Requeue(u64),
    /// Forgets one.
    Ack(u64),
    /// Forgets this one and all before it.
    AckUpTo(u64),
}

impl Desk {
    /// Notes deliveries before they are handed out.
    pub(super) fn delivered(&self, tags: impl Iterator<Item = u64>) {
        self.lock().open.extend(tags);
    }

    /// Says that the consumer is gone: what was settled is written, the channel closed, and all that
    /// is unsettled goes to somebody else.
    pub(super) fn leave(&self) {
        self.left.cancel();
    }

    /// Writes what is settled until the consumer leaves, the broker is closed or the epoch ends.
    pub(super) async fn serve(&self, epoch: &Epoch, channel: &Channel, stop: &CancellationToken) {
        loop {
            let last = tokio::select! {
                biased;
                () = epoch.over() => break,
                () = self.left.cancelled() => true,
                () = stop.cancelled() => true,
                () = self.noted.notified() => false,
            };
            if !write(epoch, channel, self.plan(last)).await || last {
                break;
            }
        }
        self.plan(true);
        if !epoch.is_over() {
            // Whether it is closed in time or not: nothing is settled on it any more.
            let _ = timeout(CLOSE_LIMIT, channel.close(200, "done".into())).await;
        }
    }

    fn plan(&self, last: bool) -> Vec<Frame> {
        let mut ledger = self.lock();
        ledger.closed |= last;
        ledger.plan()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settler for Desk {
    fn settle(&self, tag: u64, how: Settle) {
        let mut ledger = self.lock();
        if ledger.closed || !ledger.open.remove(&tag) {
            return;
        }
        match how {
            Settle::Ack => ledger.acks.push(tag),
            Settle::Requeue => ledger.requeues.push(tag),
        }
        drop(ledger);
        self.noted.notify_one();
    }
}

impl Ledger {
    /// The frames for what is settled: the odd ones first, then one for all below the lowest open.
    ///
    /// The tag of a frame for many must itself be open at the broker, else the channel is closed;
    /// what it spans must be settled, and it is: tags of one channel come in order, so what has not
    /// been read yet is above.
    fn plan(&mut self) -> Vec<Frame> {
        let mut acks = std::mem::take(&mut self.acks);
        acks.sort_unstable();
        let lowest_open = self.open.first().copied().unwrap_or(u64::MAX);
        let above = acks.split_off(acks.partition_point(|tag| *tag < lowest_open));
        let mut frames: Vec<Frame> = self.requeues.drain(..).map(Frame::Requeue).collect();
        frames.extend(above.into_iter().map(Frame::Ack));
        match acks[..] {
            [] => {}
            [one] => frames.push(Frame::Ack(one)),
            [.., highest] => frames.push(Frame::AckUpTo(highest)),
        }
        frames
    }
}

/// Writes frames, in order; whether the channel lives.
async fn write(epoch: &Epoch, channel: &Channel, frames: Vec<Frame>) -> bool {
    // All are queued at the first poll, in order, and leave in one write.
    let written = join_all(frames.into_iter().map(|frame| write_one(channel, frame)));
    match epoch.within(written).await {
        Ok(results) if results.iter().all(Result::is_ok) => true,
        _ => {
            epoch.check();
            false
        }
    }
}

fn write_one(channel: &Channel, frame: Frame) -> BoxFuture<'_, Result<(), lapin::Error>> {
    match frame {
        Frame::Ack(tag) => channel
            .basic_ack(tag, BasicAckOptions { multiple: false })
            .boxed(),
        Frame::AckUpTo(tag) => channel
            .basic_ack(tag, BasicAckOptions { multiple: true })
            .boxed(),
        Frame::Requeue(tag) => channel
            .basic_nack(
                tag,
                BasicNackOptions {
                    multiple: false,
                    requeue: true,
                },
            )
            .boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(desk: &Desk) -> Vec<Frame> {
        desk.plan(false)
    }

    #[test]
    fn acks_below_the_lowest_open_delivery_travel_in_one_frame() {
        let desk = Desk::default();
        desk.delivered(1..=6);
        for tag in [2, 1, 3, 5] {
            desk.settle(tag, Settle::Ack);
        }
        assert_eq!(frames(&desk), [Frame::Ack(5), Frame::AckUpTo(3)]);
        desk.settle(4, Settle::Ack);
        assert_eq!(frames(&desk), [Frame::Ack(4)]);
        desk.settle(6, Settle::Ack);
        assert_eq!(frames(&desk), [Frame::Ack(6)]);
        assert_eq!(frames(&desk), []);
    }

    #[test]
    fn what_is_given_back_is_given_back_before_an_ack_spans_it() {
        let desk = Desk::default();
        desk.delivered(1..=3);
        desk.settle(3, Settle::Ack);
        desk.settle(2, Settle::Requeue);
        desk.settle(1, Settle::Ack);
        assert_eq!(frames(&desk), [Frame::Requeue(2), Frame::AckUpTo(3)]);
    }

    #[test]
    fn a_tag_is_settled_once_and_never_after_the_end() {
        let desk = Desk::default();
        desk.delivered(1..=2);
        desk.settle(1, Settle::Ack);
        desk.settle(1, Settle::Requeue);
        desk.settle(7, Settle::Ack);
        assert_eq!(desk.plan(true), [Frame::Ack(1)]);
        desk.settle(2, Settle::Ack);
        assert_eq!(frames(&desk), []);
    }
}
