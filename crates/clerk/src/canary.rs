//! A message to ourselves, every few seconds: what comes round proves that the broker takes, keeps and
//! brings messages, which a connection that stands does not.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, Delivery, Message};
use clerkwork_wire::Envelope;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// How often one is sent.
const EVERY: Duration = Duration::from_secs(2);
/// How long it may take until the broker has it.
const SENT: Duration = Duration::from_secs(10);
/// What kind of message it is.
const KIND: &str = "canary";

/// The name of the queue that nobody else reads, as long as it is there.
pub(crate) type Home = Option<String>;

/// Whether this is one of ours: nobody else knows the queue that it is on.
pub(crate) fn is_canary(delivery: &Delivery) -> bool {
    delivery.envelope.kind.as_deref() == Some(KIND)
}

/// Runs until it is stopped.
pub(crate) async fn run(
    broker: Arc<dyn Broker>,
    home: watch::Receiver<Home>,
    health: Health,
    stop: CancellationToken,
) {
    let _ = stop
        .run_until_cancelled(send(&*broker, home, &health))
        .await;
}

async fn send(broker: &dyn Broker, home: watch::Receiver<Home>, health: &Health) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let home = home.borrow().clone();
        // While the broker takes nothing there is nothing to prove, and they would wait in line.
        let Some(key) = home.filter(|_| health.can_publish()) else {
            continue;
        };
        let message = Message {
            exchange: String::new(),
            key,
            durable: false,
            envelope: Envelope {
                kind: Some(KIND.to_owned()),
                ..Envelope::default()
            },
        };
        // One that is not confirmed does not come round either.
        let _ = tokio::time::timeout(SENT, broker.publish(vec![message])).await;
    }
}
