//! What the clerk of a test tells a worker that reports.

use std::sync::Arc;

use clerkwork_broker::{Broker, Message};
use clerkwork_wire::v1::{Control, Granted, Report};

/// Grants all that a report asks for.
pub(crate) async fn grant(broker: &Arc<dyn Broker>, report: &Report) {
    let granted: Vec<_> = report.asking.iter().map(|word| same(word)).collect();
    if granted.is_empty() {
        return;
    }
    let control = Control {
        granted,
        ..Control::default()
    };
    let message = Message {
        exchange: String::new(),
        key: report.worker.control.clone(),
        durable: false,
        envelope: control.encode(),
    };
    broker.send(vec![message]).await;
}

/// The grant of what was asked for with this word, under the same one.
fn same(word: &str) -> Granted {
    let job = word.strip_prefix("correlation-of-").unwrap();
    Granted {
        message: format!("{job}:1"),
        correlation: word.to_owned(),
        attempt: None,
    }
}

/// Greets a worker that says that nobody has, if the clerk greets.
pub(crate) async fn greet(
    broker: &Arc<dyn Broker>,
    greets: bool,
    paused: &[String],
    report: &Report,
) {
    if !greets || report.worker.greeted || report.worker.control.is_empty() {
        return;
    }
    let hello = Control {
        hello: Some("clerk-of-the-test".to_owned()),
        paused: paused.to_vec(),
        complete: true,
        ..Control::default()
    };
    let (exchange, key) = (String::new(), report.worker.control.clone());
    broker
        .send(vec![Message {
            exchange,
            key,
            durable: false,
            envelope: hello.encode(),
        }])
        .await;
}
