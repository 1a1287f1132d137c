//! The message queue: what clerks and workers need of one, an in-memory queue, and RabbitMQ.
//!
//! A broker moves opaque [`Message`]s; it knows nothing of jobs. Everything is a batch from day one.
//! [`memory`] serves one process, [`amqp`] a fleet; both pass the same conformance suite.
//!
//! # Epochs
//!
//! A [`Consumer`] and its [`Delivery`]s belong to one *epoch*: one life of one channel. When the
//! channel or its connection goes, [`Consumer::next_batch`] ends with an error, the broker hands the
//! unsettled deliveries to somebody else, and settling an old delivery does nothing. Whoever consumes
//! calls [`Broker::consume`] again, which waits for the next epoch.

pub mod amqp;
mod delivery;
mod error;
pub mod memory;

#[cfg(feature = "conformance")]
pub mod conformance;

use async_trait::async_trait;
use rand::RngExt as _;
use tokio::sync::watch;

pub use clerkwork_wire::{Envelope, HeaderValue, Headers};
pub use delivery::{Delivery, Settle, Settler};
pub use error::Error;

/// A message queue.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug + 'static {
    /// Makes sure that the queue exists as specified, its exchange and binding included.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where it exists otherwise, [`Error::Refused`], [`Error::Forbidden`], or
    /// [`Error::Away`].
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error>;

    /// Makes sure that a fanout exchange exists, for private queues of others who may not declare it.
    ///
    /// # Errors
    /// As [`Broker::declare`].
    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error>;

    /// The depth of a queue now; `None` if there is no such queue.
    ///
    /// # Errors
    /// [`Error::Away`] where the broker does not answer within a few seconds.
    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error>;

    /// Deletes a queue on which nothing waits; `false` if something does, and it stays.
    ///
    /// # Errors
    /// [`Error::Forbidden`], or [`Error::Away`].
    async fn delete(&self, queue: &str) -> Result<bool, Error>;

    /// Removes what waits on a queue; how many messages that was. What consumers have unsettled stays
    /// theirs.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such queue, [`Error::Forbidden`], or [`Error::Away`]. Where the
    /// answer was lost, it may have been done.
    async fn purge(&self, queue: &str) -> Result<u64, Error>;

    /// Publishes with confirms, all of the batch in flight at once; the answers are in the order of
    /// the messages. Several batches may be under way at the same time.
    ///
    /// Never fails as a whole: while the broker is away every message is [`Published::NotSent`].
    /// While the broker blocks publishers the call waits. Dropping the future leaves the fate of the
    /// messages unknown.
    async fn publish(&self, messages: Vec<Message>) -> Vec<Published>;

    /// Sends without confirms: hints, which may be lost. Returns when they are handed over.
    async fn send(&self, messages: Vec<Message>);

    /// Starts to consume, waiting for the broker as long as it is away. At most `prefetch`
    /// deliveries are unsettled at a time, until that is changed; 0 counts as 1. Whoever drops the
    /// future half way leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such queue, [`Error::Forbidden`], [`Error::Closed`].
    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Whether the broker can be reached; changes as it comes and goes.
    fn status(&self) -> watch::Receiver<Status>;

    /// The broker's user as which we publish; part of the names of private queues.
    fn user(&self) -> String;

    /// Whether this queue loses nothing while the process lives, and all of it when it ends: then
    /// nothing has to guard what is on it.
    fn in_process(&self) -> bool;

    /// Closes the connections; bounded in time. Consumers end with [`Error::Closed`].
    async fn close(&self);
}

/// One consumer of one queue, for one epoch.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for at least one delivery and takes at most `most` of those that are there.
    ///
    /// Cancel safe: a delivery is either returned or stays for the next call.
    ///
    /// # Errors
    /// The epoch is over: [`Error::Lost`], [`Error::Missing`] (the queue was deleted) or
    /// [`Error::Closed`]. No delivery follows.
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error>;

    /// Changes how many deliveries may be unsettled, without giving any back. The new number counts
    /// what comes from now on; a broker may let as many come beside those that are unsettled now. A
    /// private queue keeps the number that it began with.
    ///
    /// # Errors
    /// As [`Consumer::next_batch`].
    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error>;

    /// Takes no more deliveries; those that were already on their way still come from
    /// [`Consumer::next_batch`], which then ends with [`Error::Closed`]. Deliveries can be settled
    /// as long as the consumer lives.
    ///
    /// # Errors
    /// As [`Consumer::next_batch`].
    async fn stop(&mut self) -> Result<(), Error>;

    /// The name of the queue; for a private queue the one made for this epoch.
    fn queue(&self) -> &str;
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The exchange; empty for the default exchange, on which the key is a queue's name.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// Whether it must survive a restart of the broker.
    pub durable: bool,
    /// What travels.
    pub envelope: Envelope,
}

impl Message {
    /// Whether every broker takes a message of this size: its body has at most [`MAX_MESSAGE`]
    /// bytes, each property and name 255, and all headers together 6 KiB.
    #[must_use]
    pub fn fits(&self) -> bool {
        let envelope = &self.envelope;
        let properties = [
            &envelope.content_type,
            &envelope.correlation_id,
            &envelope.reply_to,
            &envelope.message_id,
            &envelope.kind,
            &envelope.user_id,
        ];
        let mut headers = 0;
        let mut names = properties
            .into_iter()
            .flatten()
            .chain([&self.exchange, &self.key]);
        let short = names.all(|name| name.len() <= MAX_NAME)
            && envelope.headers.iter().all(|(name, value)| {
                headers += name.len() + HEADER_OVERHEAD;
                if let HeaderValue::Text(text) = value {
                    headers += text.len();
                }
                name.len() <= MAX_NAME
            });
        short && headers <= MAX_HEADERS && envelope.body.len() <= MAX_MESSAGE
    }
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The broker has it and a queue holds it.
    Confirmed,
    /// There is no queue for it; it is nowhere.
    Unroutable,
    /// The broker refused it: the queue is full or has no leader.
    Refused,
    /// Larger than any broker takes ([`Message::fits`]); it was not sent.
    TooLarge,
    /// The broker is away; it was not sent.
    NotSent,
    /// The connection went before the confirm came: the broker may or may not have it.
    Unknown,
}

/// The largest body that is ever published: brokers from 4.0 refuse 16 MiB and close the channel.
pub const MAX_MESSAGE: usize = 15 * 1024 * 1024 + 64 * 1024;

/// How many hints wait at most, the oldest dropped for the newest.
const HINTS_BOUND: usize = 100_000;

/// How many messages wait on a private queue at most, the oldest dropped for the newest.
const PRIVATE_BOUND: usize = 10_000;

/// A fresh name for a private queue: 128 random bits, so that nobody writes to it by guessing.
fn private_name(prefix: &str) -> String {
    format!("{prefix}{:032x}", clerkwork_core::chance().random::<u128>())
}

/// The longest name that AMQP knows, in bytes.
const MAX_NAME: usize = 255;

/// Properties and headers travel in one frame, and the smallest that a broker allows has 8 KiB.
const MAX_HEADERS: usize = 6 * 1024;

/// What a header costs beside its text: lengths, type, number.
const HEADER_OVERHEAD: usize = 10;

/// Where to consume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A queue that somebody declared.
    Queue(String),
    /// A queue of this consumer alone, declared anew for each epoch with a random name that begins
    /// with `prefix`, bound to a fanout exchange, and gone with the epoch.
    Private {
        /// The name up to its random part, with the dot.
        prefix: String,
        /// The fanout exchange to bind it to.
        exchange: String,
        /// Whether to declare the exchange first; workers have no right to.
        declare_exchange: bool,
    },
}

/// A queue to declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is for, which decides its arguments.
    pub kind: QueueKind,
    /// The direct exchange that it is bound to under its own name, declared if need be.
    pub exchange: Option<String>,
    /// The queue for deliveries over the limit; only for [`QueueKind::Work`] and [`QueueKind::Replies`].
    pub dead_letters: Option<String>,
}

/// What a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// Jobs: durable, replicated, refuses rather than drops. What comes back unanswered again and again
    /// becomes a dead letter soon: it may be what ends its workers.
    Work,
    /// Replies: the same, but no message of many outcomes is given up because clerks come and go.
    Replies,
    /// Dead letters and replies put aside: durable, replicated.
    Keep,
    /// Reports: durable in name, bounded, oldest dropped.
    Hints,
}

/// The answer to a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What is on it.
    pub depth: Depth,
}

/// What is on a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
}

/// Whether the broker can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Connected, and publishing is possible.
    Up,
    /// Connected, but the broker takes no publishes until its alarm is over.
    Blocked,
    /// Not connected; the reason in words, without secrets.
    Down(String),
}
