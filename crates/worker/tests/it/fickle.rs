//! A broker between processes, whose faults a test chooses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clerkwork_broker::{
    Broker, Consumer, Declared, Delivery, Depth, Error, Message, Published, Queue, Source, Status,
    memory,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The in-memory broker, but lossy.
#[derive(Debug)]
pub(crate) struct Fickle {
    /// What clerks use: no fault touches it.
    pub(crate) calm: Arc<dyn Broker>,
    names: clerkwork_wire::Names,
    /// What becomes of the next replies that a worker publishes.
    script: Mutex<VecDeque<Fault>>,
    /// Replies that are exactly this are refused, and how many were.
    unwanted: Mutex<(&'static str, usize)>,
    epoch: Mutex<CancellationToken>,
}

/// What becomes of a published reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is lost, and the worker hears this.
    Lost(Published),
    /// It arrives, and the worker hears this.
    Arrives(Published),
}

impl Fickle {
    pub(crate) fn new(prefix: &str) -> Arc<Self> {
        Arc::new(Self {
            calm: memory::broker(),
            names: clerkwork_wire::Names::new(prefix),
            script: Mutex::default(),
            unwanted: Mutex::default(),
            epoch: Mutex::default(),
        })
    }

    /// Sets what becomes of the next replies.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults);
    }

    /// Refuses replies that are exactly this from now on; empty: none.
    pub(crate) fn refuse(&self, reply: &'static str) {
        *self.unwanted.lock().unwrap() = (reply, 0);
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> usize {
        self.unwanted.lock().unwrap().1
    }

    fn is_unwanted(&self, message: &Message) -> bool {
        let mut unwanted = self.unwanted.lock().unwrap();
        let is = !unwanted.0.is_empty() && message.envelope.body == unwanted.0;
        unwanted.1 += usize::from(is);
        is
    }

    /// How many planned faults have not happened.
    pub(crate) fn planned(&self) -> usize {
        self.script.lock().unwrap().len()
    }

    /// Cuts the worker's connection; the next one works.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.epoch.lock().unwrap()).cancel();
    }
}

#[async_trait]
impl Broker for Fickle {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        self.calm.declare(queue).await
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        self.calm.declare_fanout(exchange).await
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.calm.look(queue).await
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        self.calm.delete(queue).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        self.calm.purge(queue).await
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        let mut answers = Vec::new();
        for message in messages {
            let is_reply = message.exchange == self.names.replies();
            let fault = is_reply
                .then(|| self.script.lock().unwrap().pop_front())
                .flatten();
            answers.push(match fault {
                None if is_reply && self.is_unwanted(&message) => Published::Refused,
                Some(Fault::Lost(said)) => said,
                Some(Fault::Arrives(said)) => {
                    self.calm.publish(vec![message]).await;
                    said
                }
                None => self.calm.publish(vec![message]).await[0],
            });
        }
        answers
    }

    async fn send(&self, messages: Vec<Message>) {
        self.calm.send(messages).await;
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let cut = self.epoch.lock().unwrap().clone();
        Ok(Box::new(Frail {
            calm: self.calm.consume(from, prefetch).await?,
            cut,
        }))
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.calm.status()
    }

    fn user(&self) -> String {
        self.calm.user()
    }

    fn in_process(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.calm.close().await;
    }
}

struct Frail {
    calm: Box<dyn Consumer>,
    cut: CancellationToken,
}

#[async_trait]
impl Consumer for Frail {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(Error::Lost("cut".to_owned())),
            batch = self.calm.next_batch(most) => batch,
        }
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), Error> {
        self.calm.set_prefetch(prefetch).await
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.calm.stop().await
    }

    fn queue(&self) -> &str {
        self.calm.queue()
    }
}
