//! Publishing: which lane a message takes, and hints, which take none.

use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::BasicPublishOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::envelope::{properties, short};
use super::fault::words;
use super::lane::{Lane, Parcel};
use super::link::{Epoch, Link};
use crate::{Message, Published};

/// Channels with confirms: a channel's first publish to a queue may have to wait for its leader, and
/// then holds up only its own lane.
const LANES: usize = 2;

/// Parcels that wait for a lane; whoever brings more waits too.
const PARCELS: usize = 64;

/// Batches of hints that wait for their channel.
const HINTS: usize = 64;

/// Publishes on one connection.
#[derive(Debug)]
pub(super) struct Publisher {
    link: Link,
    lanes: Vec<mpsc::Sender<Parcel>>,
    hints: mpsc::Sender<Vec<Message>>,
}

impl Publisher {
    pub(super) fn new(link: &Link, tracker: &TaskTracker, stop: &CancellationToken) -> Self {
        let mut lanes = Vec::with_capacity(LANES);
        for _ in 0..LANES {
            let (sender, parcels) = mpsc::channel(PARCELS);
            tracker.spawn(Lane::new(link.clone(), parcels, stop.clone()).run());
            lanes.push(sender);
        }
        let (hints, batches) = mpsc::channel(HINTS);
        tracker.spawn(send_hints(link.clone(), batches, stop.clone()));
        Self {
            link: link.clone(),
            lanes,
            hints,
        }
    }

    /// Publishes with confirms; messages of one routing key stay in order.
    pub(super) async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        let mut fates = vec![Published::NotSent; messages.len()];
        let away = self.link.now().is_err();
        let mut parcels: Vec<(Vec<usize>, Vec<Message>)> = Vec::new();
        parcels.resize_with(self.lanes.len(), Default::default);
        for (index, message) in messages.into_iter().enumerate() {
            if !message.fits() {
                fates[index] = Published::TooLarge;
            } else if !away {
                let (indices, parcel) = &mut parcels[lane_of(&message.key, self.lanes.len())];
                indices.push(index);
                parcel.push(message);
            }
        }
        let mut answers = Vec::with_capacity(self.lanes.len());
        for (lane, (indices, messages)) in self.lanes.iter().zip(parcels) {
            if messages.is_empty() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            if lane.send(Parcel { messages, answer }).await.is_ok() {
                answers.push((indices, answered));
            }
        }
        for (indices, answered) in answers {
            // A lane answers whatever it took, unless the process ends.
            let Ok(answer) = answered.await else { continue };
            for (index, fate) in indices.into_iter().zip(answer) {
                fates[index] = fate;
            }
        }
        fates
    }

    /// Hands hints over, or drops them while the broker is away or blocks.
    pub(super) async fn send(&self, mut messages: Vec<Message>) {
        messages.retain(Message::fits);
        let Ok(epoch) = self.link.now() else { return };
        let mut blocked = epoch.blocked();
        tokio::select! {
            biased;
            () = epoch.over() => {}
            _ = blocked.wait_for(|blocked| *blocked) => {}
            // It fails only when the broker is closed.
            _ = self.hints.send(messages) => {}
        }
    }
}

fn lane_of(key: &str, lanes: usize) -> usize {
    let hash = key.bytes().fold(0_usize, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    hash % lanes
}

/// Owns the channel without confirms for the life of the broker.
async fn send_hints(
    mut link: Link,
    mut batches: mpsc::Receiver<Vec<Message>>,
    stop: CancellationToken,
) {
    loop {
        let epoch = tokio::select! {
            () = stop.cancelled() => return,
            epoch = link.live() => epoch,
        };
        let Some(epoch) = epoch else { return };
        let Ok(channel) = epoch.channel().await else {
            epoch.end();
            continue;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = epoch.over() => {}
            () = forward(&epoch, &channel, &mut batches) => {}
        }
    }
}

/// Sends batch after batch until the channel fails.
async fn forward(epoch: &Epoch, channel: &Channel, batches: &mut mpsc::Receiver<Vec<Message>>) {
    let mut taken = Vec::new();
    while batches.recv_many(&mut taken, HINTS).await > 0 {
        let sent = join_all(
            taken
                .drain(..)
                .flatten()
                .map(|message| send_one(channel, message)),
        );
        if let Some(error) = sent.await.into_iter().find_map(Result::err) {
            debug!(reason = words(&error), "the channel for hints failed");
            return epoch.check();
        }
    }
    // All senders are gone; so will be the broker.
    epoch.over().await;
}

async fn send_one(channel: &Channel, message: Message) -> Result<(), lapin::Error> {
    let name = |name: &str| short(name).unwrap_or_default();
    let mut properties = properties(&message);
    if let Some(id) = message.envelope.message_id.as_deref().and_then(short) {
        properties = properties.with_message_id(id);
    }
    let options = BasicPublishOptions {
        mandatory: false,
        immediate: false,
    };
    let body = &message.envelope.body;
    channel
        .basic_publish(
            name(&message.exchange),
            name(&message.key),
            options,
            body,
            properties,
        )
        .await?;
    Ok(())
}
