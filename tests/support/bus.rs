//! The broker as any AMQP client sees it: for forged messages, for what was set aside, and for cleaning up.

use std::time::Duration;

use clerkwork_wire::Names;
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    BasicRejectOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);
/// The time for which to consume before looking again.
const CONSUMING: Duration = Duration::from_secs(3);

/// A connection of its own to the broker.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
    channel: Channel,
    names: Names,
}

impl Bus {
    /// Connects, as a stranger who knows the fleet's prefix.
    ///
    /// # Panics
    /// When the broker does not let it in.
    pub async fn connect(url: &str, prefix: &str) -> Self {
        let bus = Self::try_connect(url, prefix).await;
        bus.expect("the broker answers")
    }

    /// The fleet's names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Its channel, for whatever else can be done with it.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes a message and waits until the broker has it.
    ///
    /// # Panics
    /// When the broker refuses it.
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) {
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(short(exchange), short(key), options, body, properties)
            .await
            .expect("the broker takes messages");
        let confirmed = timeout(LIMIT, sent).await.expect("the broker confirms");
        confirmed.expect("the broker keeps the message");
    }

    /// Takes one message from a queue: its correlation id and its body.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn take(&self, queue: &str) -> Option<(String, Vec<u8>)> {
        let message = self.next(queue).await?;
        let acked = message.ack(BasicAckOptions::default()).await;
        acked.expect("a message can be acknowledged");
        let correlation = message.properties.correlation_id().as_ref();
        let correlation = correlation.map(ToString::to_string).unwrap_or_default();
        Some((correlation, message.data.to_vec()))
    }

    /// Consumes from a queue as a worker that sends no reports: takes one message in hand, whose
    /// correlation id it is, and keeps it until the connection is closed.
    ///
    /// # Panics
    /// When the queue is not there, or no message comes.
    pub async fn hold(&self, queue: &str) -> (lapin::Consumer, String) {
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = self
            .channel
            .basic_consume(short(queue), short(""), options, arguments);
        let mut consumer = consuming.await.expect("the queue is there");
        let next = timeout(LIMIT, consumer.next()).await;
        let next = next.expect("a message comes");
        let message = next.expect("the queue stays").expect("so does the channel");
        let correlation = message.properties.correlation_id().as_ref();
        let correlation = correlation.map(ToString::to_string).unwrap_or_default();
        (consumer, correlation)
    }

    /// Takes one message from a queue and rejects it.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn reject(&self, queue: &str) -> bool {
        let Some(message) = self.next(queue).await else {
            return false;
        };
        let rejected = message.reject(BasicRejectOptions::default()).await;
        rejected.expect("a message can be rejected");
        true
    }

    /// Consumes from a queue, with one message in hand at most that is never answered, so that clerks
    /// dispatch to it: until the connection is closed.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn attract(&self, queue: &str) -> lapin::Consumer {
        self.consume(&self.channel, queue).await
    }

    /// Takes one message from a queue and goes without an answer.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn lose(&self, queue: &str) -> bool {
        let channel = self.connection.create_channel().await;
        let channel = channel.expect("the broker has channels");
        let mut consumer = self.consume(&channel, queue).await;
        let next = timeout(CONSUMING, consumer.next()).await;
        let closed = channel.close(200, short("lost")).await;
        closed.expect("a channel can be closed");
        next.is_ok()
    }

    /// The next message, if one comes soon. Clerks dispatch only to queues from which somebody consumes.
    async fn next(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let mut consumer = self.consume(&self.channel, queue).await;
        let next = timeout(CONSUMING, consumer.next()).await;
        let options = BasicCancelOptions::default();
        let cancelled = self.channel.basic_cancel(consumer.tag(), options).await;
        cancelled.expect("a consumer can go");
        // It may have come at the last moment.
        let next = match next {
            Ok(next) => next,
            Err(_) => consumer.next().await,
        };
        next.map(|next| next.expect("the channel stays"))
    }

    async fn consume(&self, channel: &Channel, queue: &str) -> lapin::Consumer {
        let limited = channel.basic_qos(1, BasicQosOptions::default()).await;
        limited.expect("a channel has a limit");
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(short(queue), short(""), options, arguments);
        consuming.await.expect("the queue is there")
    }

    /// How many messages wait in a queue.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn depth(&self, queue: &str) -> u32 {
        self.try_depth(queue).await.expect("the queue is there")
    }

    /// How many messages wait in a queue; `None` where there is none, and then nothing more can be
    /// asked of this connection.
    pub async fn try_depth(&self, queue: &str) -> Option<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .channel
            .queue_declare(short(queue), options, FieldTable::default());
        Some(declared.await.ok()?.message_count())
    }

    /// Empties a queue behind everybody's back.
    ///
    /// # Panics
    /// When the queue is not there.
    pub async fn purge(&self, queue: &str) {
        let options = QueuePurgeOptions::default();
        let purged = self.channel.queue_purge(short(queue), options).await;
        purged.expect("the queue is there");
    }

    /// Deletes a queue behind everybody's back.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn delete(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        let deleted = self.channel.queue_delete(short(queue), options).await;
        deleted.expect("the broker deletes queues");
    }

    /// Says goodbye.
    pub async fn close(self) {
        // A connection that is gone already has nothing left to say.
        let _ = timeout(LIMIT, self.connection.close(200, short("done"))).await;
    }

    /// Deletes what a fleet has declared.
    pub(crate) async fn clear(
        url: &str,
        prefix: &str,
        queues: &[String],
    ) -> Result<(), lapin::Error> {
        let bus = Self::try_connect(url, prefix).await?;
        let names = bus.names.clone();
        let jobs = queues.iter().map(|queue| names.jobs(queue));
        let own = [
            names.replies(),
            names.reports(),
            names.dead(),
            names.aside(),
        ];
        for queue in jobs.chain(own) {
            let options = QueueDeleteOptions::default();
            bus.channel.queue_delete(short(&queue), options).await?;
        }
        for exchange in [names.replies(), names.notices(), names.control()] {
            let options = ExchangeDeleteOptions::default();
            bus.channel
                .exchange_delete(short(&exchange), options)
                .await?;
        }
        bus.close().await;
        Ok(())
    }

    /// Connects, if the broker lets it in.
    ///
    /// # Errors
    /// It does not.
    pub async fn try_connect(url: &str, prefix: &str) -> Result<Self, lapin::Error> {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(url, properties).await?;
        let channel = connection.create_channel().await?;
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await?;
        Ok(Self {
            connection,
            channel,
            names: Names::new(prefix),
        })
    }
}

fn short(name: &str) -> ShortString {
    name.into()
}
