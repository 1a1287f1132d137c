//! The connection on which queues are declared, looked at and deleted, made when it is first needed.
//!
//! The broker closes the channel of whoever asks for a queue that is missing or is something else, and
//! the client never uses the number of such a channel again. On a connection of its own that disturbs
//! nobody: once the numbers are used up it is replaced, and what was asked is asked again.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::Channel;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Address;
use super::board::{Board, Side};
use super::limits::{DeliveryLimits, Limit};
use super::link::{ANSWER_LIMIT, Epoch, Link};
use super::{Options, QueueType, topology};
use crate::{Declared, Depth, Error, Queue};

/// The channels that are used at a time: a question that hangs leaves others to those that follow.
const CHANNELS: u16 = 4;

/// The longest wait for one of the channels.
const TURN_LIMIT: Duration = ANSWER_LIMIT;

/// The longest time for a question with all of its steps, of which each has [`ANSWER_LIMIT`].
const QUESTION_LIMIT: Duration = Duration::from_secs(40);

/// Declarations of queues and looks at them, on a connection of their own.
#[derive(Debug)]
pub(super) struct Declaring {
    address: Address,
    name: String,
    queue_type: QueueType,
    limits: DeliveryLimits,
    /// The link that tells whether the broker is there at all.
    consuming: Link,
    link: OnceLock<Link>,
    board: Arc<Board>,
    tracker: TaskTracker,
    stop: CancellationToken,
    turns: Semaphore,
    /// Channels that have served, and serve again.
    idle: Mutex<Vec<(Arc<Epoch>, Channel)>>,
}

/// A question on a channel, asked again where the connection was lost.
type Question<'q, T> =
    dyn Fn(Arc<Epoch>, Channel) -> BoxFuture<'q, Result<T, Error>> + Send + Sync + 'q;

impl Declaring {
    pub(super) fn new(
        options: &Options,
        address: &Address,
        consuming: &Link,
        board: &Arc<Board>,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            address: address.clone(),
            name: format!("{} declare", options.name),
            queue_type: options.queue_type,
            limits: DeliveryLimits::default(),
            consuming: consuming.clone(),
            link: OnceLock::new(),
            board: Arc::clone(board),
            tracker: tracker.clone(),
            stop: stop.clone(),
            turns: Semaphore::new(CHANNELS.into()),
            idle: Mutex::default(),
        }
    }

    /// Makes sure that a queue is there as specified; one that differs only in its delivery limit will do.
    pub(super) async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        let limit = topology::delivery_limit(queue.kind, self.queue_type);
        match self.declare_with(queue, limit).await {
            Err(refusal) => match self.limits.current(queue, &refusal) {
                Some(current) if current != limit => self.declare_with(queue, current).await,
                _ => Err(refusal),
            },
            declared => declared,
        }
    }

    async fn declare_with(&self, queue: &Queue, limit: Limit) -> Result<Declared, Error> {
        let queue_type = self.queue_type;
        self.ask(&move |epoch, channel| {
            Box::pin(
                async move { topology::declare(&epoch, &channel, queue, queue_type, limit).await },
            )
        })
        .await
    }

    /// Removes what waits on a queue; how many messages that was.
    pub(super) async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.ask(&move |epoch, channel| {
            Box::pin(async move { topology::purge(&epoch, &channel, queue).await })
        })
        .await
    }

    /// Makes sure that a fanout exchange is there.
    pub(super) async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        self.ask(&move |epoch, channel| {
            Box::pin(async move { topology::declare_fanout(&epoch, &channel, exchange).await })
        })
        .await
    }

    /// The depth of a queue; `None` if there is none.
    pub(super) async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.ask(&move |epoch, channel| {
            Box::pin(async move { topology::look(&epoch, &channel, queue).await })
        })
        .await
    }

    /// Deletes a queue on which nothing waits; whether it is gone.
    pub(super) async fn delete(&self, queue: &str) -> Result<bool, Error> {
        self.ask(&move |epoch, channel| {
            Box::pin(async move { topology::delete(&epoch, &channel, queue).await })
        })
        .await
    }

    /// Asks when a channel is free; a broker that does not answer in time is away.
    async fn ask<T>(&self, question: &Question<'_, T>) -> Result<T, Error> {
        let turn = timeout(TURN_LIMIT, self.turns.acquire());
        let _turn = turn
            .await
            .map_err(|_| Error::Away("earlier questions are not answered yet".to_owned()))?
            // It fails only once it is closed, which nobody does.
            .map_err(|_| Error::Closed)?;
        match self.ask_once(question).await {
            // All of it may be done twice; the next connection is mostly there at once.
            Err(Error::Lost(_)) => self.ask_once(question).await,
            answer => answer,
        }
    }

    async fn ask_once<T>(&self, question: &Question<'_, T>) -> Result<T, Error> {
        let epoch = self.epoch().await?;
        let channel = match self.take(&epoch) {
            Some(channel) => channel,
            None => epoch.channel().await?,
        };
        let asked = question(Arc::clone(&epoch), channel.clone());
        let answer = timeout(QUESTION_LIMIT, asked).await.unwrap_or_else(|_| {
            let limit = QUESTION_LIMIT.as_secs();
            Err(Error::Away(format!("no answer within {limit} s")))
        });
        if answer.is_ok() {
            self.put_back(epoch, channel);
        } else {
            epoch.check();
        }
        answer
    }

    /// The epoch that lives now, waited for if the broker is there.
    async fn epoch(&self) -> Result<Arc<Epoch>, Error> {
        self.consuming.now()?;
        let mut link = self.link.get_or_init(|| self.connect()).clone();
        match timeout(ANSWER_LIMIT, link.live()).await {
            Ok(Some(epoch)) => Ok(epoch),
            Ok(None) => Err(Error::Closed),
            Err(_) => link.now(),
        }
    }

    fn connect(&self) -> Link {
        let (link, supervisor) = Link::new(
            self.address.clone(),
            self.name.clone(),
            Side::Declare,
            Arc::clone(&self.board),
            CHANNELS,
            self.stop.clone(),
        );
        self.tracker.spawn(supervisor);
        link
    }

    /// An idle channel of this epoch; those of older ones are dropped.
    fn take(&self, epoch: &Arc<Epoch>) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(of, channel)| Arc::ptr_eq(of, epoch) && channel.status().connected());
        idle.pop().map(|(_, channel)| channel)
    }

    /// Keeps a channel for the next question; there are as many as questions at a time.
    fn put_back(&self, epoch: Arc<Epoch>, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((epoch, channel));
    }
}
