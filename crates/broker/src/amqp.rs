//! RabbitMQ.
//!
//! Two connections, since the broker stops reading one that publishes while it is short of memory:
//! one publishes, the other consumes. Whoever declares queues or looks at them has a third, since that
//! uses up the channel numbers of a connection. Each is kept up by a supervisor of its own.

mod address;
mod board;
mod consume;
mod declaring;
mod envelope;
mod fault;
mod lane;
mod limits;
mod link;
mod overdue;
mod publish;
mod returns;
mod settle;
mod socket;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_faults::{Defect, has};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::{Broker, Consumer, Declared, Depth, Error, Message, Published, Queue, Source, Status};
use address::Address;
use board::{Board, Side, View};
use consume::AmqpConsumer;
use declaring::Declaring;
use link::Link;
use publish::Publisher;
use socket::{Cause, Refusal};

/// How long publishes and acks may take to finish once the broker is closed; then how long the
/// connections may take to close.
const DRAIN_LIMIT: Duration = Duration::from_secs(6);
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// The channels of a clerk's connection that consumes: replies, reports, dead letters, notices, and one
/// that is being closed while the next one of its kind is open already.
const CHANNELS: u16 = 5;

/// How long to wait before consuming is tried again on a connection that seems to be well.
const CONSUME_AGAIN: Duration = Duration::from_millis(200);

/// How to reach RabbitMQ.
#[derive(Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…`.
    pub url: String,
    /// What the broker's operator sees as the name of our connections.
    pub name: String,
    /// The type of the queues of jobs and replies.
    pub queue_type: QueueType,
    /// The largest frame in bytes; each connection takes 64 times as much memory.
    pub frame_max: u32,
    /// The channels that one connection needs at a time. A broker that allows fewer is refused.
    pub channels: u16,
}

/// The type of the queues of jobs and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// Replicated, with a delivery limit and dead letters.
    #[default]
    Quorum,
    /// On one node, and faster for a single client.
    Classic,
}

/// Starts to connect, and returns at once: [`Broker::status`] tells how it goes.
///
/// # Errors
/// [`Error::Address`].
pub fn connect(options: &Options) -> Result<Arc<dyn Broker>, Error> {
    Ok(Arc::new(Amqp::new(options)?))
}

/// Connects once and hangs up again, to tell a wrong configuration from a broker that is away.
///
/// # Errors
/// [`Error::Address`], [`Error::Forbidden`] for a wrong login or virtual host, [`Error::TooFewChannels`],
/// else [`Error::Away`].
pub async fn check(options: &Options) -> Result<(), Error> {
    let address = Address::parse(options)?;
    match socket::dial(&address, &options.name, options.channels).await {
        Ok((connection, socket)) => {
            // Whether it is answered does not matter: the socket is shut either way.
            let _ = timeout(CLOSE_LIMIT, connection.close(200, "bye".into())).await;
            socket.shut();
            Ok(())
        }
        Err(Refusal { reason, cause }) => Err(match cause {
            Cause::Away => Error::Away(reason),
            Cause::Denied => Error::Forbidden(reason),
            Cause::TooFewChannels => Error::TooFewChannels(reason),
        }),
    }
}

impl Options {
    /// The defaults for an address and a name.
    #[must_use]
    pub fn new(url: &str, name: &str) -> Self {
        Self {
            url: url.to_owned(),
            name: name.to_owned(),
            queue_type: QueueType::default(),
            frame_max: 131_072,
            channels: CHANNELS,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the address, which has a password.
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("queue_type", &self.queue_type)
            .field("frame_max", &self.frame_max)
            .finish_non_exhaustive()
    }
}

/// A RabbitMQ server or cluster.
#[derive(Debug)]
struct Amqp {
    address: Address,
    board: Arc<Board>,
    publisher: Publisher,
    consuming: Link,
    declaring: Declaring,
    /// What publishes and settles ends first, then the connections.
    parts: Stage,
    links: Stage,
}

/// Tasks that end together, at the latest when this is dropped.
#[derive(Debug)]
struct Stage {
    tracker: TaskTracker,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Amqp {
    fn new(options: &Options) -> Result<Self, Error> {
        let address = Address::parse(options)?;
        let board = Arc::new(Board::new());
        let (parts, links) = (Stage::new(), Stage::new());
        let open = |side, what: &str| {
            let name = format!("{} {what}", options.name);
            let stop = links.stop.clone();
            let (address, board) = (address.clone(), board.clone());
            let (link, supervisor) = Link::new(address, name, side, board, options.channels, stop);
            links.tracker.spawn(supervisor);
            link
        };
        let publishing = open(Side::Publish, "publish");
        let consuming = if has(Defect::OneConnection) {
            board.set(Side::Consume, View::Up);
            publishing.clone()
        } else {
            open(Side::Consume, "consume")
        };
        let publisher = Publisher::new(&publishing, &parts.tracker, &parts.stop);
        let (tracker, stop) = (&links.tracker, &links.stop);
        let declaring = Declaring::new(options, &address, &consuming, &board, tracker, stop);
        Ok(Self {
            address,
            board,
            publisher,
            consuming,
            declaring,
            parts,
            links,
        })
    }
}

#[async_trait]
impl Broker for Amqp {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        self.declaring.declare(queue).await
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        self.declaring.declare_fanout(exchange).await
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.declaring.look(queue).await
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        self.declaring.delete(queue).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.declaring.purge(queue).await
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        self.publisher.publish(messages).await
    }

    async fn send(&self, messages: Vec<Message>) {
        self.publisher.send(messages).await;
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let Stage { tracker, stop, .. } = &self.parts;
        let mut link = self.consuming.clone();
        loop {
            let epoch = tokio::select! {
                () = stop.cancelled() => return Err(Error::Closed),
                epoch = link.live() => epoch.ok_or(Error::Closed)?,
            };
            match AmqpConsumer::open(&epoch, &from, prefetch, tracker, stop).await {
                Ok(consumer) => return Ok(Box::new(consumer)),
                Err(error @ (Error::Lost(_) | Error::Away(_))) => {
                    debug!(%error, ?from, "cannot consume yet");
                    epoch.check();
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(CONSUME_AGAIN) => {}
            }
        }
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.board.status()
    }

    fn user(&self) -> String {
        self.address.user().to_owned()
    }

    fn in_process(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.parts.end(DRAIN_LIMIT).await;
        self.links.end(CLOSE_LIMIT).await;
    }
}

impl Stage {
    fn new() -> Self {
        let stop = CancellationToken::new();
        Self {
            tracker: TaskTracker::new(),
            _guard: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Ends all tasks, and waits for them at most so long.
    async fn end(&self, limit: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(limit, self.tracker.wait()).await.is_err() {
            debug!("a part of the broker did not end in time");
        }
    }
}
