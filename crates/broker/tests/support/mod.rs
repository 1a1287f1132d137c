//! The RabbitMQ that the tests use, and removing what they made on it.

use std::sync::Arc;

use clerkwork_broker::{Broker, amqp};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};

/// The address: `AMQP_URL`, or the local default.
pub fn url() -> String {
    std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

/// A broker at that address. Its frames are small, since every test has two connections.
pub fn broker(name: &str) -> Arc<dyn Broker> {
    broker_at(&url(), name)
}

/// A broker at an address.
pub fn broker_at(url: &str, name: &str) -> Arc<dyn Broker> {
    let options = amqp::Options {
        frame_max: 16_384,
        ..amqp::Options::new(url, name)
    };
    amqp::connect(&options).unwrap()
}

/// Deletes queues and exchanges, whichever of them there are.
pub async fn delete(names: Vec<String>) {
    let connection = Connection::connect(&url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    for name in names {
        let queue = QueueDeleteOptions::default();
        channel
            .queue_delete(name.as_str().into(), queue)
            .await
            .unwrap();
        let exchange = ExchangeDeleteOptions::default();
        channel
            .exchange_delete(name.into(), exchange)
            .await
            .unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}
