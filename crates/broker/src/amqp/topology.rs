//! Queues and exchanges: how each is declared, and looking at one.
//!
//! The arguments are the same on RabbitMQ 3.10 to 4.3. The queue type is always said, else a default
//! of the virtual host is put in.

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};

use super::QueueType;
use super::envelope::short;
use super::fault::{declare_fault, fault};
use super::limits::Limit;
use super::link::Epoch;
use crate::{
    Declared, Depth, Error, HINTS_BOUND, PRIVATE_BOUND, Queue, QueueKind, Source, private_name,
};

/// The returns after which the broker makes a message a dead letter. −1 is fatal before 4.0.
/// A job that ends its workers is given up soon; what counts failures is the store.
const WORK_RETURNS: i64 = 20;
const REPLY_RETURNS: i64 = 1_000;
const KEEP_RETURNS: i64 = 1_000_000;

/// How long a hint is worth anything, in ms.
const HINT_LIFE: i64 = 60_000;

/// Makes sure that a queue is there as specified, with this delivery limit.
pub(super) async fn declare(
    epoch: &Epoch,
    channel: &Channel,
    queue: &Queue,
    queue_type: QueueType,
    limit: Limit,
) -> Result<Declared, Error> {
    let name = name(&queue.name)?;
    if let Some(exchange) = &queue.exchange {
        declare_exchange(epoch, channel, exchange, ExchangeKind::Direct).await?;
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let made = epoch
        .within(channel.queue_declare(name, options, arguments(queue, queue_type, limit)))
        .await?
        .map_err(|error| declare_fault(&error, &queue.name))?;
    if let Some(exchange) = &queue.exchange {
        bind(epoch, channel, &queue.name, exchange, &queue.name).await?;
    }
    Ok(Declared {
        depth: depth(&made),
    })
}

/// Makes sure that a fanout exchange is there.
pub(super) async fn declare_fanout(
    epoch: &Epoch,
    channel: &Channel,
    exchange: &str,
) -> Result<(), Error> {
    declare_exchange(epoch, channel, exchange, ExchangeKind::Fanout).await
}

/// The depth of a queue; `None` if there is none, which costs the channel.
pub(super) async fn look(
    epoch: &Epoch,
    channel: &Channel,
    queue: &str,
) -> Result<Option<Depth>, Error> {
    let name = name(queue)?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let found = epoch
        .within(channel.queue_declare(name, options, FieldTable::default()))
        .await?;
    match found.map_err(|error| fault(&error, queue)) {
        Ok(found) => Ok(Some(depth(&found))),
        Err(Error::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a queue on which nothing waits; whether it is gone.
pub(super) async fn delete(epoch: &Epoch, channel: &Channel, queue: &str) -> Result<bool, Error> {
    let Some(depth) = look(epoch, channel, queue).await? else {
        return Ok(true);
    };
    if depth.ready > 0 {
        return Ok(false);
    }
    // Quorum queues refuse `if-empty`, at the price of the connection.
    let deleted = channel.queue_delete(name(queue)?, QueueDeleteOptions::default());
    epoch
        .within(deleted)
        .await?
        .map_err(|error| fault(&error, queue))?;
    Ok(true)
}

/// Removes what waits on a queue; how many messages that was.
pub(super) async fn purge(epoch: &Epoch, channel: &Channel, queue: &str) -> Result<u64, Error> {
    let purged = channel.queue_purge(name(queue)?, QueuePurgeOptions::default());
    let purged = epoch
        .within(purged)
        .await?
        .map_err(|error| fault(&error, queue))?;
    Ok(purged.into())
}

/// The name of the queue to consume from; a private one is made.
pub(super) async fn prepare(
    epoch: &Epoch,
    channel: &Channel,
    from: &Source,
) -> Result<String, Error> {
    let (prefix, exchange) = match from {
        Source::Queue(name) => return Ok(name.clone()),
        Source::Private {
            prefix,
            exchange,
            declare_exchange: declare,
        } => {
            if *declare {
                declare_exchange(epoch, channel, exchange, ExchangeKind::Fanout).await?;
            }
            (prefix, exchange)
        }
    };
    let queue = private_name(prefix);
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    put_text(&mut arguments, "x-queue-type", "classic");
    put_int(&mut arguments, "x-max-length", PRIVATE_BOUND as i64);
    epoch
        .within(channel.queue_declare(name(&queue)?, options, arguments))
        .await?
        .map_err(|error| fault(&error, &queue))?;
    bind(epoch, channel, &queue, exchange, "").await?;
    Ok(queue)
}

/// A name as AMQP wants it.
pub(super) fn name(name: &str) -> Result<ShortString, Error> {
    short(name).ok_or_else(|| Error::Missing(format!("{:.40}… (over 255 bytes)", name)))
}

async fn declare_exchange(
    epoch: &Epoch,
    channel: &Channel,
    exchange: &str,
    kind: ExchangeKind,
) -> Result<(), Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel.exchange_declare(name(exchange)?, kind, options, FieldTable::default());
    epoch
        .within(declared)
        .await?
        .map_err(|error| declare_fault(&error, exchange))
}

async fn bind(
    epoch: &Epoch,
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), Error> {
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(
        name(queue)?,
        name(exchange)?,
        name(key)?,
        options,
        FieldTable::default(),
    );
    epoch
        .within(bound)
        .await?
        .map_err(|error| fault(&error, exchange))
}

fn depth(queue: &lapin::Queue) -> Depth {
    Depth {
        ready: queue.message_count().into(),
        consumers: queue.consumer_count().into(),
    }
}

/// The delivery limit of a new queue.
pub(super) fn delivery_limit(kind: QueueKind, queue_type: QueueType) -> Limit {
    match (kind, queue_type) {
        (QueueKind::Work, QueueType::Quorum) => Some(WORK_RETURNS),
        (QueueKind::Replies, QueueType::Quorum) => Some(REPLY_RETURNS),
        (QueueKind::Keep, QueueType::Quorum) => Some(KEEP_RETURNS),
        (_, QueueType::Classic) | (QueueKind::Hints, _) => None,
    }
}

fn arguments(queue: &Queue, queue_type: QueueType, limit: Limit) -> FieldTable {
    let mut arguments = FieldTable::default();
    match (queue.kind, queue_type) {
        (QueueKind::Hints, _) => {
            put_text(&mut arguments, "x-queue-type", "classic");
            put_int(&mut arguments, "x-message-ttl", HINT_LIFE);
            put_int(&mut arguments, "x-max-length", HINTS_BOUND as i64);
        }
        (QueueKind::Work | QueueKind::Replies | QueueKind::Keep, QueueType::Classic) => {
            put_text(&mut arguments, "x-queue-type", "classic");
        }
        (QueueKind::Work | QueueKind::Replies, QueueType::Quorum) => {
            put_text(&mut arguments, "x-queue-type", "quorum");
            put_text(&mut arguments, "x-overflow", "reject-publish");
            put_text(&mut arguments, "x-queue-leader-locator", "balanced");
            if let Some(dead_letters) = &queue.dead_letters {
                put_text(&mut arguments, "x-dead-letter-strategy", "at-least-once");
                put_text(&mut arguments, "x-dead-letter-exchange", "");
                put_text(&mut arguments, "x-dead-letter-routing-key", dead_letters);
            }
        }
        (QueueKind::Keep, QueueType::Quorum) => {
            put_text(&mut arguments, "x-queue-type", "quorum");
        }
    }
    if let Some(limit) = limit {
        put_int(&mut arguments, "x-delivery-limit", limit);
    }
    arguments
}

fn put_text(arguments: &mut FieldTable, name: &str, value: &str) {
    arguments.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
}

fn put_int(arguments: &mut FieldTable, name: &str, value: i64) {
    arguments.insert(name.into(), AMQPValue::LongLongInt(value));
}
