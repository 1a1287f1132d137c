//! A clerk of a test that grants whatever it is asked.

use std::sync::Arc;

use clerkwork_broker::{Broker, Message};
use clerkwork_wire::v1::{Control, Granted, Report};

/// Grants all that a report asks for.
pub(crate) async fn all(broker: &Arc<dyn Broker>, report: &Report) {
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
