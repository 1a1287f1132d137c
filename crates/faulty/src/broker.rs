//! The broker whose calls go wrong by a plan.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use clerkwork_broker::{
    Broker, Consumer, Declared, Delivery, Depth, Error, Message, Published, Queue, Settle, Settler,
    Source, Status,
};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::plan::{Fate, Plan};

/// A broker whose calls go wrong by this plan, as those of a broker over a network do. One that lives in
/// the process loses and refuses nothing: its calls only take long.
#[must_use]
pub fn broker(plan: &Plan, inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
    let in_process = inner.in_process();
    Arc::new(FaultyBroker {
        plan: plan.clone(),
        inner,
        in_process,
    })
}

/// The same for a broker that may be in this process, as though it were elsewhere.
#[must_use]
pub fn remote_broker(plan: &Plan, inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
    Arc::new(FaultyBroker {
        plan: plan.clone(),
        inner,
        in_process: false,
    })
}

#[derive(Debug)]
struct FaultyBroker {
    plan: Plan,
    inner: Arc<dyn Broker>,
    in_process: bool,
}

impl FaultyBroker {
    fn fate(&self, what: &'static str) -> Fate {
        match self.plan.fate(what) {
            Fate::Undone | Fate::Lost | Fate::Untold if self.in_process => Fate::Made,
            fate => fate,
        }
    }

    /// Asks for something that may be asked for twice.
    async fn ask<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        match self.fate(what) {
            Fate::Made => work.await,
            Fate::Late(there, back) => {
                sleep(there).await;
                let done = work.await;
                sleep(back).await;
                done
            }
            Fate::Undone | Fate::Lost => Err(away()),
            Fate::Untold => {
                work.await?;
                Err(away())
            }
        }
    }
}

fn away() -> Error {
    Error::Away("a planned fault".to_owned())
}

fn lost() -> Error {
    Error::Lost("a planned fault".to_owned())
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        self.ask("declare", self.inner.declare(queue)).await
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        self.ask("declare fanout", self.inner.declare_fanout(exchange))
            .await
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.ask("look", self.inner.look(queue)).await
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        self.ask("delete", self.inner.delete(queue)).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.ask("purge", self.inner.purge(queue)).await
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        let count = messages.len();
        match self.fate("publish") {
            Fate::Made => self.inner.publish(messages).await,
            Fate::Late(there, back) => {
                sleep(there).await;
                let published = self.inner.publish(messages).await;
                sleep(back).await;
                published
            }
            Fate::Undone => vec![Published::NotSent; count],
            Fate::Lost => vec![Published::Unknown; count],
            Fate::Untold => {
                let published = self.inner.publish(messages).await;
                published.into_iter().map(untold).collect()
            }
        }
    }

    async fn send(&self, messages: Vec<Message>) {
        match self.fate("send") {
            Fate::Late(there, _) => sleep(there).await,
            Fate::Undone | Fate::Lost => return,
            Fate::Made | Fate::Untold => {}
        }
        self.inner.send(messages).await;
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        // It waits for as long as the broker is away, so it does not fail for that.
        if let Fate::Late(there, _) = self.fate("consume") {
            sleep(there).await;
        }
        let inner = self.inner.consume(from, prefetch).await?;
        Ok(Box::new(FaultyConsumer {
            queue: inner.queue().to_owned(),
            inner: Some(inner),
            counter: Arc::new(Counter {
                plan: self.plan.clone(),
                spares: self.in_process,
                lost: CancellationToken::new(),
                open: Mutex::default(),
                next: AtomicU64::new(0),
            }),
        }))
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.inner.status()
    }

    fn user(&self) -> String {
        self.inner.user()
    }

    fn in_process(&self) -> bool {
        self.in_process
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What is heard of a message whose connection went before its confirm came.
fn untold(published: Published) -> Published {
    match published {
        Published::Confirmed | Published::Unroutable | Published::Refused => Published::Unknown,
        never_sent @ (Published::TooLarge | Published::NotSent | Published::Unknown) => never_sent,
    }
}

struct FaultyConsumer {
    queue: String,
    /// None once its channel is lost.
    inner: Option<Box<dyn Consumer>>,
    counter: Arc<Counter>,
}

impl FaultyConsumer {
    /// The channel goes, and with it what it had not settled.
    fn lose(&mut self) -> Error {
        self.counter.lost.cancel();
        self.inner = None;
        lost()
    }
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        let Some(inner) = &mut self.inner else {
            return Err(lost());
        };
        let batch = tokio::select! {
            biased;
            () = self.counter.lost.cancelled() => None,
            batch = inner.next_batch(most) => Some(batch?),
        };
        let Some(batch) = batch else {
            return Err(self.lose());
        };
        if !self.counter.spares && self.counter.plan.loses("deliver") {
            tracing::info!(queue = self.queue, "a planned fault: deliveries are lost");
            return Err(self.lose());
        }
        Ok(self.counter.hand_on(batch))
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error> {
        let inner = self.inner.as_mut().ok_or_else(lost)?;
        inner.set_prefetch(prefetch).await
    }

    async fn stop(&mut self) -> Result<(), Error> {
        let inner = self.inner.as_mut().ok_or_else(lost)?;
        inner.stop().await
    }

    fn queue(&self) -> &str {
        &self.queue
    }
}

/// Settles the deliveries of a channel, some of them in vain.
#[derive(Debug)]
struct Counter {
    plan: Plan,
    spares: bool,
    /// The channel is lost, or will be as soon as somebody looks.
    lost: CancellationToken,
    open: Mutex<BTreeMap<u64, Delivery>>,
    next: AtomicU64,
}

impl Counter {
    fn hand_on(self: &Arc<Self>, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let handed = deliveries.into_iter().map(|delivery| {
            let tag = self.next.fetch_add(1, Ordering::Relaxed);
            let (envelope, redelivered) = (delivery.envelope.clone(), delivery.redelivered);
            open.insert(tag, delivery);
            Delivery::new(envelope, redelivered, tag, self.clone() as Arc<dyn Settler>)
        });
        handed.collect()
    }
}

impl Settler for Counter {
    fn settle(&self, tag: u64, how: Settle) {
        let delivery = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&tag)
        };
        let Some(delivery) = delivery else { return };
        if self.lost.is_cancelled() {
            return;
        }
        if !self.spares && self.plan.loses("settle") {
            tracing::info!("a planned fault: a settlement is lost, and its channel");
            self.lost.cancel();
            return;
        }
        match how {
            Settle::Ack => delivery.ack(),
            Settle::Requeue => delivery.requeue(),
        }
    }
}
