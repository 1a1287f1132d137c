//! Consuming: one channel per consumer, whose life is the epoch of its deliveries.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::envelope::envelope;
use super::fault::fault;
use super::link::Epoch;
use super::settle::Desk;
use super::topology::{name, prepare};
use crate::{Consumer, Delivery, Error, Settler, Source};

/// A place at a channel's desk; without it the channel is closed.
///
/// It is taken before anything is asked on the channel. Who gives up between asking to consume and the
/// answer would leave a consumer behind else, which takes deliveries that nobody sees: the client holds
/// the channel of each consumer that it knows.
struct Seat(Arc<Desk>);

impl Seat {
    fn take(
        epoch: &Arc<Epoch>,
        channel: &Channel,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let desk = Arc::new(Desk::default());
        let seat = Self(Arc::clone(&desk));
        let (epoch, channel, stop) = (Arc::clone(epoch), channel.clone(), stop.clone());
        tracker.spawn(async move { desk.serve(&epoch, &channel, &stop).await });
        seat
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A consumer of a queue for the life of a channel.
pub(super) struct AmqpConsumer {
    epoch: Arc<Epoch>,
    channel: Channel,
    seat: Seat,
    stop: CancellationToken,
    queue: String,
    private: bool,
    /// The current stream last; before it those that were cancelled and are read to their end.
    streams: VecDeque<lapin::Consumer>,
    stopping: bool,
    over: Option<Error>,
}

impl AmqpConsumer {
    /// Opens a channel and consumes on it.
    pub(super) async fn open(
        epoch: &Arc<Epoch>,
        from: &Source,
        prefetch: u16,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let channel = epoch.channel().await?;
        let seat = Seat::take(epoch, &channel, tracker, stop);
        let queue = prepare(epoch, &channel, from).await?;
        let stream = subscribe(epoch, &channel, &queue, prefetch).await?;
        Ok(Self {
            epoch: Arc::clone(epoch),
            channel,
            seat,
            stop: stop.clone(),
            queue,
            private: matches!(from, Source::Private { .. }),
            streams: VecDeque::from([stream]),
            stopping: false,
            over: None,
        })
    }

    /// What is buffered, at most `most` with the first.
    fn gather(&mut self, first: lapin::message::Delivery, most: usize) -> Vec<Delivery> {
        let mut taken = vec![first];
        if let Some(stream) = self.streams.front_mut() {
            while taken.len() < most {
                match stream.next().now_or_never() {
                    Some(Some(Ok(delivery))) => taken.push(delivery),
                    Some(Some(Err(error))) => {
                        self.over = Some(fault(&error, &self.queue));
                        break;
                    }
                    Some(None) => {
                        self.ended();
                        break;
                    }
                    None => break,
                }
            }
        }
        let desk = &self.seat.0;
        desk.delivered(taken.iter().map(|delivery| delivery.delivery_tag));
        let hand_out = |delivery: lapin::message::Delivery| {
            let settler = Arc::clone(desk) as Arc<dyn Settler>;
            let envelope = envelope(&delivery.properties, delivery.data);
            Delivery::new(
                envelope,
                delivery.redelivered,
                delivery.delivery_tag,
                settler,
            )
        };
        taken.into_iter().map(hand_out).collect()
    }

    /// The first stream has ended without an error.
    fn ended(&mut self) {
        let ended = self.streams.pop_front();
        if !self.streams.is_empty() {
            return;
        }
        if self.stopping {
            self.over = Some(Error::Closed);
            return;
        }
        // The broker cancelled the consumer: the queue was deleted, or a delivery was kept for too
        // long. From 4.3 it waits for an answer, and would then deliver to nobody until the channel
        // is closed; so it is answered and closed.
        if let Some(stream) = ended {
            debug!(queue = self.queue, "the broker cancelled a consumer");
            let options = BasicCancelOptions { nowait: true };
            let _ = self
                .channel
                .basic_cancel(stream.tag(), options)
                .now_or_never();
        }
        self.over = Some(Error::Lost("the broker cancelled the consumer".to_owned()));
        self.seat.0.leave();
    }

    /// The end, if it has come.
    fn alive(&self) -> Result<(), Error> {
        self.over.clone().map_or(Ok(()), Err)
    }

    /// Cancels the current stream; what it has buffered still comes.
    async fn cancel(&mut self) -> Result<(), Error> {
        let Some(tag) = self.streams.back().map(lapin::Consumer::tag) else {
            return Ok(());
        };
        let cancelled = self
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        self.epoch
            .within(cancelled)
            .await?
            .map_err(|error| fault(&error, &self.queue))
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        loop {
            self.alive()?;
            let Some(stream) = self.streams.front_mut() else {
                return Err(Error::Closed);
            };
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Error::Closed),
                next = stream.next() => next,
                () = self.epoch.over() => {
                    return Err(Error::Lost("the connection is gone".to_owned()));
                }
            };
            match next {
                Some(Ok(delivery)) => return Ok(self.gather(delivery, most)),
                Some(Err(error)) => {
                    self.epoch.check();
                    self.over = Some(fault(&error, &self.queue));
                }
                None => self.ended(),
            }
        }
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error> {
        self.alive()?;
        if self.stopping || self.private {
            return Ok(());
        }
        // First to cancel, so that all tags of the old stream are below those of the new one.
        self.cancel().await?;
        let stream = subscribe(&self.epoch, &self.channel, &self.queue, prefetch).await?;
        self.streams.push_back(stream);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.alive()?;
        if self.stopping {
            return Ok(());
        }
        self.stopping = true;
        self.cancel().await
    }

    fn queue(&self) -> &str {
        &self.queue
    }
}

async fn subscribe(
    epoch: &Epoch,
    channel: &Channel,
    queue: &str,
    prefetch: u16,
) -> Result<lapin::Consumer, Error> {
    // Never global, which quorum queues refuse; and never 0, which means 2,000 there.
    let limited = channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false });
    epoch
        .within(limited)
        .await?
        .map_err(|error| fault(&error, queue))?;
    // The broker makes up a fresh tag: one that it cancelled is not free yet.
    let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
    let consumed = channel.basic_consume(name(queue)?, tag, options, FieldTable::default());
    epoch
        .within(consumed)
        .await?
        .map_err(|error| fault(&error, queue))
}
