//! The message queue of one process: lossless while it lives, with a known depth at any time.
//!
//! Consumers pull: what nobody has room for stays *ready* on its queue. A batch goes in under one
//! short lock and wakes one consumer, which wakes the next if it leaves something behind.

mod consumer;
mod hub;
mod queue;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Broker, Consumer, Declared, Depth, Error, Message, Published, Queue, Source, Status};
use consumer::MemoryConsumer;
use hub::Hub;

/// Makes an empty message queue that lives as long as its handles.
#[must_use]
pub fn broker() -> Arc<dyn Broker> {
    Arc::new(Memory {
        hub: Arc::new(Hub::default()),
        status: watch::Sender::new(Status::Up),
    })
}

/// The broker of one process.
#[derive(Debug)]
struct Memory {
    hub: Arc<Hub>,
    status: watch::Sender<Status>,
}

#[async_trait]
impl Broker for Memory {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        self.hub.declare(queue)
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        self.hub.declare_fanout(exchange)
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.hub.look(queue)
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        self.hub.delete(queue)
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        Ok(self.hub.find(queue)?.purge())
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        self.hub.publish(messages)
    }

    async fn send(&self, messages: Vec<Message>) {
        self.hub.publish(messages);
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        Ok(Box::new(MemoryConsumer::new(&self.hub, from, prefetch)?))
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn user(&self) -> String {
        "embedded".to_owned()
    }

    fn in_process(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.hub.close();
        self.status.send_replace(Status::Down("closed".to_owned()));
    }
}
