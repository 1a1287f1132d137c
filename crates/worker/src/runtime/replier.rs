//! Replies on their way to the clerks: packed, confirmed, kept until they are, then acknowledged.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Message, Published};
use clerkwork_faults::{Defect, Point, has, reach};
use clerkwork_wire::v1::{Reply, pack};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::execute;
use super::hands::{Claim, Hand};

/// The most replies of one pack.
const MOST: usize = 256;
/// The most bytes of one pack; a larger reply travels alone.
const MOST_BYTES: usize = 256 * 1024;
/// How many messages wait to be sent again before new replies have to wait too.
const LATE_BOUND: usize = 256;
/// How often a reply is sent again to somebody who is not a clerk.
const STRANGERS_TRIES: u32 = 5;
/// The longest wait before a message is sent again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A reply that is ready.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// The `reply_to` of the job.
    pub(super) to: String,
    pub(super) owner: Owner,
}

/// What to settle once the reply is confirmed.
#[derive(Debug)]
pub(super) enum Owner {
    /// A delivery in hand.
    Hand(Arc<Hand>),
    /// A delivery that could not be read.
    Unread(Box<Claim>),
}

/// A message and whose replies are in it.
#[derive(Debug)]
struct Parcel {
    message: Message,
    owners: Vec<Owner>,
    /// Whether it goes to somebody who is not a clerk.
    stranger: bool,
    tries: u32,
    /// When to send it again.
    due: Instant,
}

/// Publishes replies; after `finish` those that are ready, then ends.
pub(super) async fn run(
    desk: Arc<Desk>,
    mut ready: mpsc::Receiver<Answer>,
    finish: CancellationToken,
) {
    let mut status = desk.broker.status();
    let mut late: Vec<Parcel> = Vec::new();
    let mut fresh = Vec::with_capacity(MOST);
    loop {
        let next = late.iter().map(|parcel| parcel.due).min();
        tokio::select! {
            biased;
            () = finish.cancelled(), if !ready.is_closed() => ready.close(),
            count = ready.recv_many(&mut fresh, MOST), if late.len() < LATE_BOUND => {
                if count == 0 && late.is_empty() {
                    return;
                }
                if count == 0 && let Some(next) = next {
                    sleep_until(next).await;
                }
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            Ok(()) = status.changed() => {
                // The broker is back, perhaps: no reason to wait longer.
                late.iter_mut().for_each(|parcel| parcel.due = Instant::now());
            }
        }
        let now = Instant::now();
        let mut parcels: Vec<Parcel> = late.extract_if(.., |parcel| parcel.due <= now).collect();
        parcels.extend(wrap(&desk, &mut fresh));
        if !parcels.is_empty() {
            late.extend(send(&desk, parcels).await);
        }
    }
}

/// Publishes parcels and settles what was confirmed; returns what has to be sent again.
async fn send(desk: &Desk, mut parcels: Vec<Parcel>) -> Vec<Parcel> {
    if has(Defect::AckBeforeConfirm) {
        for parcel in &mut parcels {
            settle(desk, std::mem::take(&mut parcel.owners));
        }
        // As long as a busy broker may take to confirm.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let messages = parcels
        .iter()
        .map(|parcel| parcel.message.clone())
        .collect();
    let answers = desk.broker.publish(messages).await;
    let mut again = Vec::new();
    for (mut parcel, answer) in parcels.into_iter().zip(answers) {
        match answer {
            Published::Confirmed => {
                reach(Point::WorkerAfterReplyConfirm);
                settle(desk, parcel.owners);
                reach(Point::WorkerAfterAck);
            }
            Published::TooLarge => again.extend(shrink(desk, parcel)),
            Published::NotSent => again.push(parcel.later(false)),
            Published::Unroutable | Published::Refused | Published::Unknown => {
                parcel = parcel.later(true);
                if parcel.stranger && parcel.tries >= STRANGERS_TRIES {
                    tracing::warn!(
                        reply_to = parcel.message.key,
                        ?answer,
                        "nobody takes this reply; it is dropped"
                    );
                    settle(desk, parcel.owners);
                } else {
                    again.push(parcel);
                }
            }
        }
    }
    again
}

fn settle(desk: &Desk, owners: Vec<Owner>) {
    for owner in owners {
        match owner {
            Owner::Hand(hand) => desk.hands.confirm(&hand),
            Owner::Unread(claim) => claim.ack(),
        }
    }
}

/// Makes messages of replies: those to clerks packed, large ones and those to others alone.
fn wrap(desk: &Desk, fresh: &mut Vec<Answer>) -> Vec<Parcel> {
    let ours = desk.names.replies();
    let mut parcels = Vec::new();
    let (mut replies, mut owners, mut bytes) = (Vec::new(), Vec::new(), 0);
    for Answer { reply, to, owner } in fresh.drain(..) {
        if to != ours {
            parcels.push(Parcel::new(String::new(), to, vec![reply], vec![owner]));
            continue;
        }
        let size = reply.size();
        if size > MOST_BYTES {
            parcels.push(Parcel::new(
                ours.clone(),
                ours.clone(),
                vec![reply],
                vec![owner],
            ));
            continue;
        }
        if bytes + size > MOST_BYTES {
            let (replies, owners) = (std::mem::take(&mut replies), std::mem::take(&mut owners));
            parcels.push(Parcel::new(ours.clone(), ours.clone(), replies, owners));
            bytes = 0;
        }
        bytes += size;
        replies.push(reply);
        owners.push(owner);
    }
    if !replies.is_empty() {
        parcels.push(Parcel::new(ours.clone(), ours, replies, owners));
    }
    parcels
}

/// In the place of an output that no broker takes, the failure that says so.
fn shrink(desk: &Desk, parcel: Parcel) -> Option<Parcel> {
    let owner = parcel.owners.into_iter().next()?;
    let Owner::Hand(hand) = &owner else {
        return None;
    };
    let bytes = parcel.message.envelope.body.len();
    let error = execute::too_large(bytes, clerkwork_broker::MAX_MESSAGE);
    let mut reply = Reply::new(&hand.correlation, execute::failed(error, hand.attempt));
    reply.head.worker = Some(desk.id.clone());
    Some(Parcel::new(
        parcel.message.exchange,
        parcel.message.key,
        vec![reply],
        vec![owner],
    ))
}

impl Parcel {
    fn new(exchange: String, key: String, replies: Vec<Reply>, owners: Vec<Owner>) -> Self {
        let stranger = exchange.is_empty();
        let message = Message {
            exchange,
            key,
            durable: true,
            envelope: pack(replies),
        };
        Self {
            message,
            owners,
            stranger,
            tries: 0,
            due: Instant::now(),
        }
    }

    /// Puts it off, longer with each try and never quite the same.
    fn later(mut self, sent: bool) -> Self {
        if sent || !self.stranger {
            self.tries = self.tries.saturating_add(1);
        }
        let wait = Duration::from_millis(50) * 2u32.saturating_pow(self.tries.min(8));
        self.due = Instant::now()
            + wait
                .min(LONGEST_WAIT)
                .mul_f64(clerkwork_core::chance().random_range(0.5..1.0));
        self
    }
}
