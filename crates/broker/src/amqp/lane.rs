//! One confirm channel and the one who owns it.
//!
//! The client takes a message's tag and queues its frames under different locks, so two who publish
//! on one channel could swap their confirms: one lane, one owner. Many messages are in flight at a
//! time, in one set of futures; awaiting each would cost a system call and two thread hops.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use clerkwork_faults::{Point, reach};
use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::envelope::{properties, short};
use super::fault::{fault, words};
use super::link::{Epoch, Link};
use super::overdue::Overdue;
use super::returns::{Answer, Returns};
use crate::{Error, Message, Published};

/// Messages in flight at most: the client scans all of them for every ack that covers several.
const MOST_IN_FLIGHT: usize = 512;

/// How long unfinished messages may take once the lane is closed.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// A batch for one lane, all of whose messages fit.
pub(super) struct Parcel {
    pub(super) messages: Vec<Message>,
    pub(super) answer: oneshot::Sender<Vec<Published>>,
}

/// Owns a confirm channel for the life of the broker, epoch after epoch.
pub(super) struct Lane {
    link: Link,
    parcels: mpsc::Receiver<Parcel>,
    stop: CancellationToken,
    /// When to give up what is unfinished; set once the lane is closed.
    drained_by: Option<Instant>,
    next_parcel: u64,
    open: HashMap<u64, Open>,
    /// Taken, and not handed to the client yet: there is no room, or the broker blocks.
    waiting: VecDeque<(Place, Message)>,
}

/// A parcel that is not answered.
struct Open {
    fates: Vec<Published>,
    left: usize,
    answer: oneshot::Sender<Vec<Published>>,
}

/// A message of a parcel.
#[derive(Clone, Copy)]
struct Place {
    parcel: u64,
    index: usize,
}

/// What is known of the messages in flight on one channel.
#[derive(Default)]
struct Books {
    returns: Returns,
    overdue: Overdue,
}

/// A message whose publish came to an end.
struct Landed {
    place: Place,
    age: u64,
    id: ShortString,
    confirmed: Result<Confirmation, lapin::Error>,
}

impl Lane {
    pub(super) fn new(
        link: Link,
        parcels: mpsc::Receiver<Parcel>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            link,
            parcels,
            stop,
            drained_by: None,
            next_parcel: 0,
            open: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Works until it is closed and drained.
    pub(super) async fn run(mut self) {
        while self.drained_by.is_none() {
            let stop = self.stop.clone();
            // What comes while there is an epoch is published, only else refused.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                epoch = self.link.live() => match epoch {
                    Some(epoch) => self.serve(&epoch).await,
                    None => break,
                },
                parcel = self.parcels.recv() => match parcel {
                    Some(parcel) => self.take(parcel),
                    None => break,
                },
            }
            self.give_up();
        }
        self.parcels.close();
        while let Some(parcel) = self.parcels.recv().await {
            self.take(parcel);
        }
        self.give_up();
    }

    /// Opens the channel and publishes on it until it fails or the lane is closed.
    async fn serve(&mut self, epoch: &Epoch) {
        match open(epoch).await {
            Ok(channel) => self.publish(epoch, &channel).await,
            Err(error) => {
                debug!(%error, "cannot open a channel to publish");
                epoch.end();
            }
        }
    }

    async fn publish(&mut self, epoch: &Epoch, channel: &Channel) {
        let mut flight = FuturesUnordered::new();
        let mut books = Books::default();
        let mut blocked = epoch.blocked();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let stop = self.stop.clone();
        loop {
            let is_blocked = *blocked.borrow_and_update();
            while !is_blocked && flight.len() < MOST_IN_FLIGHT {
                let Some((place, message)) = self.waiting.pop_front() else {
                    break;
                };
                self.set(place, Published::Unknown);
                flight.push(send(channel, place, books.overdue.depart(), message));
            }
            let draining = self.drained_by.is_some();
            if draining && flight.is_empty() && self.waiting.is_empty() {
                return;
            }
            // What is always ready comes last, so that it keeps nothing else waiting.
            tokio::select! {
                biased;
                () = epoch.over() => {
                    self.land(None, channel, &mut flight, &mut books);
                    return;
                }
                now = second.tick() => {
                    if self.drained_by.is_some_and(|limit| now >= limit) {
                        return;
                    }
                    if !is_blocked && books.overdue.second() {
                        warn!("a confirm is overdue; connecting anew");
                        return epoch.end();
                    }
                }
                () = stop.cancelled(), if !draining => {
                    self.drained_by = Some(Instant::now() + DRAIN_LIMIT);
                }
                _ = blocked.changed() => {}
                parcel = self.parcels.recv(), if self.waiting.is_empty() && !draining => {
                    match parcel {
                        Some(parcel) => self.take(parcel),
                        None => self.drained_by = Some(Instant::now() + DRAIN_LIMIT),
                    }
                }
                Some(first) = flight.next() => {
                    if !self.land(Some(first), channel, &mut flight, &mut books) {
                        return epoch.check();
                    }
                }
            }
        }
    }

    /// Judges what landed and answers the parcels that are complete; whether the channel lives.
    fn land<F: Future<Output = Landed>>(
        &mut self,
        first: Option<Landed>,
        channel: &Channel,
        flight: &mut FuturesUnordered<F>,
        books: &mut Books,
    ) -> bool {
        let mut landed: Vec<Landed> = first.into_iter().collect();
        drain(channel, flight, &mut landed);
        for carrier in &mut landed {
            if let Ok(Confirmation::Ack(carried) | Confirmation::Nack(carried)) =
                &mut carrier.confirmed
            {
                let returned = carried.take();
                let id = returned.and_then(|message| message.properties.message_id().clone());
                if let Some(id) = id {
                    books.returns.note(id.to_string());
                }
            }
        }
        let mut alive = true;
        for Landed {
            place,
            age,
            id,
            confirmed,
        } in landed
        {
            books.overdue.arrive(age);
            let answer = match confirmed {
                Ok(Confirmation::Ack(_)) => Answer::Ack,
                Ok(Confirmation::Nack(_)) => Answer::Nack,
                Ok(Confirmation::NotRequested) => Answer::Lost,
                Err(error) => {
                    if alive {
                        debug!(reason = words(&error), "a channel to publish failed");
                    }
                    alive = false;
                    Answer::Lost
                }
            };
            self.set(place, books.returns.judge(id.as_str(), &answer));
            self.count_down(place.parcel);
        }
        alive
    }

    /// Takes a parcel in; until its messages are handed over, they are not sent.
    fn take(&mut self, parcel: Parcel) {
        let Parcel { messages, answer } = parcel;
        let number = self.next_parcel;
        self.next_parcel += 1;
        let left = messages.len();
        self.open.insert(
            number,
            Open {
                fates: vec![Published::NotSent; left],
                left,
                answer,
            },
        );
        let places = (0..).map(|index| Place {
            parcel: number,
            index,
        });
        self.waiting.extend(places.zip(messages));
    }

    fn set(&mut self, place: Place, fate: Published) {
        let slot = self
            .open
            .get_mut(&place.parcel)
            .and_then(|open| open.fates.get_mut(place.index));
        if let Some(slot) = slot {
            *slot = fate;
        }
    }

    fn count_down(&mut self, parcel: u64) {
        let Some(open) = self.open.get_mut(&parcel) else {
            return;
        };
        open.left -= 1;
        if open.left == 0
            && let Some(open) = self.open.remove(&parcel)
        {
            // Nobody waits for it any more: that was said to leave the fates unknown.
            let _ = open.answer.send(open.fates);
        }
    }

    /// Answers everything as far as it is known.
    fn give_up(&mut self) {
        self.waiting.clear();
        for (_, open) in self.open.drain() {
            let _ = open.answer.send(open.fates);
        }
    }
}

async fn open(epoch: &Epoch) -> Result<Channel, Error> {
    let channel = epoch.channel().await?;
    let options = ConfirmSelectOptions::default();
    epoch
        .within(channel.confirm_select(options))
        .await?
        .map_err(|error| fault(&error, "confirms"))?;
    Ok(channel)
}

async fn send(channel: &Channel, place: Place, age: u64, message: Message) -> Landed {
    // A return is known by the id, so there is always one.
    let id = message
        .envelope
        .message_id
        .as_deref()
        .and_then(short)
        .unwrap_or_else(random_id);
    let confirmed = async {
        let name = |name: &str| short(name).unwrap_or_default();
        let options = BasicPublishOptions {
            mandatory: true,
            immediate: false,
        };
        let properties = properties(&message).with_message_id(id.clone());
        let body = &message.envelope.body;
        let publish = channel.basic_publish(
            name(&message.exchange),
            name(&message.key),
            options,
            body,
            properties,
        );
        let confirm = publish.await?;
        // Jobs go to their queue, replies through the exchange of replies.
        if message.exchange.is_empty() {
            reach(Point::DispatchAfterPublish);
        } else {
            reach(Point::WorkerAfterReplyPublish);
        }
        confirm.await
    };
    Landed {
        place,
        age,
        confirmed: confirmed.await,
        id,
    }
}

fn random_id() -> ShortString {
    short(&format!("{:032x}", rand::random::<u128>())).unwrap_or_default()
}

/// Takes out all that is finished, and with each message every return up to its ack.
///
/// One ack frame finishes several in any order, and the client does that under a lock. Looking may
/// come in the middle: asking for the last unconfirmed message takes the same lock, after which the
/// rest of the frame is there to be seen.
fn drain<F: Future<Output = Landed>>(
    channel: &Channel,
    flight: &mut FuturesUnordered<F>,
    landed: &mut Vec<Landed>,
) {
    loop {
        while let Some(Some(next)) = flight.next().now_or_never() {
            landed.push(next);
        }
        let known = landed.len();
        let _ = channel.wait_for_confirms().now_or_never();
        while let Some(Some(next)) = flight.next().now_or_never() {
            landed.push(next);
        }
        if landed.len() == known {
            return;
        }
    }
}
