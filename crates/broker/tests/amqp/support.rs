//! The RabbitMQ that the tests use, and removing what they made on it.

use std::sync::Arc;

use clerkwork_broker::conformance::soon;
use clerkwork_broker::{Broker, Status, amqp};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Channel, Connection, ConnectionProperties};

/// The address: `AMQP_URL`, or the local default.
pub(crate) fn url() -> String {
    std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

/// A broker at that address.
pub(crate) fn broker(name: &str) -> Arc<dyn Broker> {
    amqp::connect(&options(&url(), name)).unwrap()
}

/// How to reach a broker at an address. Frames are small, since every test has two connections.
pub(crate) fn options(url: &str, name: &str) -> amqp::Options {
    amqp::Options {
        frame_max: 16_384,
        ..amqp::Options::new(url, name)
    }
}

/// Waits for a status, and returns it.
pub(crate) async fn becomes(broker: &dyn Broker, wanted: impl Fn(&Status) -> bool) -> Status {
    soon(broker.status().wait_for(|status| wanted(status)))
        .await
        .unwrap()
        .clone()
}

/// A channel of a client that is not ours.
pub(crate) async fn stranger() -> (Connection, Channel) {
    let connection = Connection::connect(&url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Deletes queues and exchanges, whichever of them there are.
pub(crate) async fn delete(names: Vec<String>) {
    let (connection, channel) = stranger().await;
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
