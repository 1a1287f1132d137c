//! The broker as one node sees it: the broker of all, behind connections that are slow and break.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_broker::{
    Broker, Consumer, Declared, Delivery, Depth, Error, Message, Published, Queue, Source, Status,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::dice;
use crate::post::{Chair, Counter, Link, Post};
use crate::world::{Life, Sky, World};

/// How many hints may be on their way; what is beyond is lost, as hints may be.
const HINTS: usize = 10_000;

/// The broker as one node sees it.
#[derive(Clone, Debug)]
pub(crate) struct NodeBroker {
    world: Arc<World>,
    node: Arc<str>,
    life: Life,
    sky: Arc<Sky>,
    post: Arc<Post>,
    link: Arc<Link>,
    hints: mpsc::Sender<(Instant, Message)>,
}

/// The broker as this node sees it, in this life of it.
pub(crate) fn at(
    node: &Arc<str>,
    world: &Arc<World>,
    life: &Life,
    sky: &Arc<Sky>,
    post: &Arc<Post>,
    link: &Arc<Link>,
) -> Arc<dyn Broker> {
    let (hints, on_their_way) = mpsc::channel(HINTS);
    tokio::spawn(carry(post.clone(), link.clone(), on_their_way));
    Arc::new(NodeBroker {
        world: world.clone(),
        node: node.clone(),
        life: life.clone(),
        sky: sky.clone(),
        post: post.clone(),
        link: link.clone(),
        hints,
    })
}

impl NodeBroker {
    /// The way of a question to the broker, if there is a connection.
    async fn there(&self) -> Result<(Arc<dyn Broker>, CancellationToken), Error> {
        self.life.go_on().await;
        let epoch = self.link.epoch();
        dice::pass(dice::moment()).await;
        self.life.go_on().await;
        if !self.link.is_up() || epoch.is_cancelled() {
            return Err(away());
        }
        Ok((self.post.office(), epoch))
    }

    /// The way back of its answer.
    async fn back<T>(
        &self,
        epoch: &CancellationToken,
        answer: Result<T, Error>,
    ) -> Result<T, Error> {
        dice::pass(dice::moment()).await;
        self.life.go_on().await;
        if epoch.is_cancelled() {
            return Err(away());
        }
        answer
    }

    /// How long a message takes.
    fn way(&self) -> Duration {
        if dice::odds(self.sky.now().slow) {
            dice::millis(50..3_000)
        } else {
            dice::moment()
        }
    }

    /// A batch arrives at the broker; what became of each message.
    async fn arrive(&self, messages: Vec<Message>) -> Vec<Published> {
        let weather = self.sky.now();
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            if dice::odds(weather.refused) {
                answers.push(Published::Refused);
                continue;
            }
            let published = self.post.office().publish(vec![message]).await;
            answers.extend(published);
        }
        answers
    }
}

/// Brings a node's hints to the broker, in their order.
async fn carry(post: Arc<Post>, link: Arc<Link>, mut hints: mpsc::Receiver<(Instant, Message)>) {
    while let Some((due, message)) = hints.recv().await {
        sleep_until(due).await;
        if link.is_up() {
            post.office().send(vec![message]).await;
        }
    }
}

#[async_trait]
impl Broker for NodeBroker {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        let (office, epoch) = self.there().await?;
        let answer = office.declare(queue).await;
        self.back(&epoch, answer).await
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        let (office, epoch) = self.there().await?;
        let answer = office.declare_fanout(exchange).await;
        self.back(&epoch, answer).await
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        let (office, epoch) = self.there().await?;
        let answer = office.look(queue).await;
        self.back(&epoch, answer).await
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        let (office, epoch) = self.there().await?;
        let answer = office.delete(queue).await;
        self.back(&epoch, answer).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let (office, epoch) = self.there().await?;
        let answer = office.purge(queue).await;
        self.back(&epoch, answer).await
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        self.life.go_on().await;
        let count = messages.len();
        while self.link.now() == Status::Blocked {
            self.link.better().await;
        }
        if !self.link.is_up() {
            dice::pass(dice::millis(0..5)).await;
            return vec![Published::NotSent; count];
        }
        let epoch = self.link.epoch();
        let (answer, answered) = oneshot::channel();
        let sent = Sent {
            messages,
            way: self.way(),
            epoch: epoch.clone(),
            cut: dice::odds(self.sky.now().cut),
            answer,
        };
        tokio::spawn(sent.travel(self.clone()));
        let back = tokio::select! {
            biased;
            () = epoch.cancelled() => None,
            answers = answered => answers.ok(),
        };
        self.life.go_on().await;
        let answers = back.unwrap_or_else(|| vec![Published::Unknown; count]);
        let confirmed = answers
            .iter()
            .filter(|answer| **answer == Published::Confirmed);
        self.world.note(format_args!(
            "{} published {count}, {} confirmed",
            self.node,
            confirmed.count()
        ));
        answers
    }

    async fn send(&self, messages: Vec<Message>) {
        self.life.go_on().await;
        let weather = self.sky.now();
        for message in messages {
            if dice::odds(weather.hints_lost) {
                continue;
            }
            let due = Instant::now() + self.way();
            if dice::odds(weather.hints_doubled) {
                let _ = self.hints.try_send((due, message.clone()));
            }
            let _ = self.hints.try_send((due, message));
        }
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        loop {
            self.life.go_on().await;
            dice::pass(dice::moment()).await;
            self.life.go_on().await;
            if !self.link.is_up() {
                self.link.better().await;
                continue;
            }
            let epoch = self.link.epoch();
            let consumer = self.post.office().consume(from.clone(), prefetch).await?;
            let queue = consumer.queue().to_owned();
            let counts = matches!(&from, Source::Queue(name) if !name.ends_with(".reports"));
            self.world
                .note(format_args!("{} consumes {queue}", self.node));
            return Ok(Box::new(NodeConsumer {
                queue,
                life: self.life.clone(),
                chair: self.link.seat(consumer),
                counter: Counter::new(&self.link, &epoch, counts.then(|| self.sky.clone())),
                epoch,
            }));
        }
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.link.status()
    }

    fn user(&self) -> String {
        "sim".to_owned()
    }

    fn in_process(&self) -> bool {
        false
    }

    /// Nobody's connections are those of all.
    async fn close(&self) {}
}

/// A batch on its way, whatever becomes of who sent it.
struct Sent {
    messages: Vec<Message>,
    way: Duration,
    epoch: CancellationToken,
    /// Whether the connection breaks over it.
    cut: bool,
    answer: oneshot::Sender<Vec<Published>>,
}

impl Sent {
    async fn travel(self, broker: NodeBroker) {
        let Self {
            mut messages,
            way,
            epoch,
            cut,
            answer,
        } = self;
        dice::pass(way).await;
        if cut && !epoch.is_cancelled() {
            // Some of it may still arrive.
            messages.truncate(dice::place(messages.len() + 1));
            broker.arrive(messages).await;
            broker.link.doom();
            epoch.cancelled().await;
            return;
        }
        if epoch.is_cancelled() {
            messages.truncate(dice::place(messages.len() + 1));
            broker.arrive(messages).await;
            return;
        }
        let answers = broker.arrive(messages).await;
        dice::pass(broker.way()).await;
        if !epoch.is_cancelled() {
            // Whoever sent it may be gone.
            let _ = answer.send(answers);
        }
    }
}

/// A consumer as one node has it.
struct NodeConsumer {
    queue: String,
    life: Life,
    chair: Arc<Chair>,
    counter: Arc<Counter>,
    epoch: CancellationToken,
}

fn away() -> Error {
    Error::Away("no connection".to_owned())
}

fn lost() -> Error {
    Error::Lost("the connection broke".to_owned())
}

#[async_trait]
impl Consumer for NodeConsumer {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        self.life.go_on().await;
        let Some(mut risen) = self.chair.rise(&self.epoch) else {
            return Err(lost());
        };
        let Some(consumer) = risen.consumer() else {
            return Err(lost());
        };
        let batch = tokio::select! {
            biased;
            () = self.epoch.cancelled() => Err(lost()),
            batch = consumer.next_batch(most) => batch,
        };
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
        Ok(self.counter.hand_on(batch?))
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error> {
        let mut risen = self.chair.rise(&self.epoch).ok_or_else(lost)?;
        match risen.consumer() {
            Some(consumer) => consumer.set_prefetch(prefetch).await,
            None => Err(lost()),
        }
    }

    async fn stop(&mut self) -> Result<(), Error> {
        let mut risen = self.chair.rise(&self.epoch).ok_or_else(lost)?;
        match risen.consumer() {
            Some(consumer) => consumer.stop().await,
            None => Err(lost()),
        }
    }

    fn queue(&self) -> &str {
        &self.queue
    }
}
