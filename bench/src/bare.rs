//! The bare loop: the RPC that every AMQP library ships, over durable quorum queues, with confirms.
//!
//! It is the yardstick: what the same broker does on the same machine for a caller who wants an answer
//! and nothing else.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::load::{Seen, seen};

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;
type Failure = Box<dyn Error + Send + Sync>;

/// Runs the loop with `clients` callers for `span`.
pub(crate) async fn round_trips(
    url: &str,
    clients: usize,
    span: Duration,
) -> Result<Seen, Failure> {
    let caller = Connection::connect(url, ConnectionProperties::default()).await?;
    let worker = Connection::connect(url, ConnectionProperties::default()).await?;
    let name = format!("{}.{clients}", std::process::id());
    let (jobs, replies) = (
        format!("bench.{name}.jobs"),
        format!("bench.{name}.replies"),
    );
    let channel = confirming(&caller).await?;
    for queue in [&jobs, &replies] {
        declare(&channel, queue).await?;
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(work(
        confirming(&worker).await?,
        jobs.clone(),
        replies.clone(),
    ));
    let waiting = Waiting::default();
    tasks.spawn(await_replies(
        caller.create_channel().await?,
        replies.clone(),
        waiting.clone(),
    ));
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for client in 0..clients {
        let (channel, jobs, waiting) = (channel.clone(), jobs.clone(), waiting.clone());
        callers.spawn(call(channel, jobs, waiting, client, begin + span));
    }
    let mut times = Vec::new();
    while let Some(task) = callers.join_next().await {
        times.extend(task??);
    }
    let taken = begin.elapsed();
    tasks.shutdown().await;
    // What was under way when the clock stopped may have taken a connection down with it.
    let last = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = last.create_channel().await?;
    for queue in [&jobs, &replies] {
        channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
    }
    Ok(seen(times, taken))
}

async fn call(
    channel: Channel,
    jobs: String,
    waiting: Waiting,
    client: usize,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let body = [b'a'; 200];
    let mut times = Vec::new();
    while Instant::now() < end {
        let id = format!("{client}.{}", times.len());
        let (answer, answered) = oneshot::channel();
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), answer);
        let asked = Instant::now();
        let properties = BasicProperties::default()
            .with_correlation_id(id.into())
            .with_delivery_mode(2);
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        channel
            .basic_publish("".into(), jobs.as_str().into(), options, &body, properties)
            .await?
            .await?;
        answered.await?;
        times.push(asked.elapsed());
    }
    Ok(times)
}

async fn work(channel: Channel, jobs: String, replies: String) -> Result<(), Failure> {
    let mut consumer = consume(&channel, &jobs).await?;
    let mut answering = futures_util::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(delivery) = consumer.next() => {
                let delivery = delivery?;
                let (channel, replies) = (channel.clone(), replies.clone());
                answering.push(async move {
                    let id = delivery.properties.correlation_id().clone().unwrap_or_default();
                    let properties =
                        BasicProperties::default().with_correlation_id(id).with_delivery_mode(2);
                    let body = delivery.data.to_ascii_uppercase();
                    let options = BasicPublishOptions::default();
                    channel
                        .basic_publish("".into(), replies.as_str().into(), options, &body, properties)
                        .await?
                        .await?;
                    delivery.acker.ack(BasicAckOptions::default()).await
                });
            }
            Some(answered) = answering.next() => { answered?; }
            else => return Ok(()),
        }
    }
}

async fn await_replies(channel: Channel, replies: String, waiting: Waiting) -> Result<(), Failure> {
    let mut consumer = consume(&channel, &replies).await?;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let id = delivery
            .properties
            .correlation_id()
            .as_ref()
            .map(ToString::to_string);
        let answer = id.and_then(|id| {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id)
        });
        // A caller that gave up is not there to be answered.
        let _ = answer.map(|answer| answer.send(()));
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

async fn confirming(connection: &Connection) -> Result<Channel, Failure> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

async fn consume(channel: &Channel, queue: &str) -> Result<Consumer, Failure> {
    channel.basic_qos(256, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    Ok(channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await?)
}

async fn declare(channel: &Channel, queue: &str) -> Result<(), Failure> {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), options, arguments)
        .await?;
    Ok(())
}
