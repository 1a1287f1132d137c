//! A job in the hands of a worker that tells what the test wants told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clerkwork_broker::{Broker, Consumer, Delivery, Envelope, Message, Source};
use clerkwork_clerk::Config;
use clerkwork_core::event;
use clerkwork_wire::Names;
use clerkwork_wire::v1::{self, EventKind, InHand, Report, WorkerEvent, WorkerInfo};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{LIMIT, Office, confirmed};

/// A worker of the queue `q`.
pub(crate) struct Hands {
    broker: Arc<dyn Broker>,
    consumer: Box<dyn Consumer>,
    reports: AtomicI64,
}

/// An attempt in its hands.
pub(crate) struct Attempt {
    pub(crate) correlation: String,
    reply_to: String,
    /// There until it is answered.
    delivery: Option<Delivery>,
}

impl Attempt {
    /// The same attempt, for telling something after its answer.
    pub(crate) fn again(&self) -> Self {
        Self {
            correlation: self.correlation.clone(),
            reply_to: self.reply_to.clone(),
            delivery: None,
        }
    }

    /// What the clerk sent: before it is answered.
    pub(crate) fn sent(&self) -> v1::Job {
        let delivery = self.delivery.as_ref().unwrap();
        v1::Job::decode(&delivery.envelope).unwrap()
    }
}

impl Office {
    /// A worker that does what the test says.
    pub(crate) async fn hands(&self) -> Hands {
        let from = Source::Queue(Names::new(&Config::default().prefix).jobs("q"));
        let consumer = self.broker.consume(from, 100).await.unwrap();
        self.is_served_by(1).await;
        Hands {
            broker: self.broker.clone(),
            consumer,
            reports: AtomicI64::new(1),
        }
    }
}

impl Hands {
    /// The next attempt.
    pub(crate) async fn take(&mut self) -> Attempt {
        let batch = timeout(LIMIT, self.consumer.next_batch(1)).await.unwrap();
        let delivery = batch.unwrap().pop().unwrap();
        Attempt {
            correlation: delivery.envelope.correlation_id.clone().unwrap(),
            reply_to: delivery.envelope.reply_to.clone().unwrap(),
            delivery: Some(delivery),
        }
    }

    /// Reports that the attempt runs, and the events that it tells.
    pub(crate) async fn tell(&self, attempt: &Attempt, events: &[(u64, EventKind, Value)]) {
        let events = events
            .iter()
            .map(|(seq, event, data)| WorkerEvent {
                correlation: attempt.correlation.clone(),
                seq: *seq,
                event: *event,
                data: serde_json::value::to_raw_value(data).unwrap(),
            })
            .collect();
        let in_hand = vec![InHand {
            correlation: attempt.correlation.clone(),
            started_at: Some(1_763_900_000_040),
            held: v1::Held::No,
        }];
        self.report(in_hand, events, &[]).await;
    }

    /// Reports that it serves these queues, one job of each at a time.
    pub(crate) async fn serves(&self, queues: &[&str]) {
        self.report(Vec::new(), Vec::new(), queues).await;
    }

    async fn report(&self, in_hand: Vec<InHand>, events: Vec<WorkerEvent>, queues: &[&str]) {
        let worker = WorkerInfo {
            id: "hands".to_owned(),
            greeted: true,
            queues: queues.iter().map(|&queue| (queue.to_owned(), 1)).collect(),
            ..WorkerInfo::default()
        };
        let report = Report {
            worker,
            seq: self.reports.fetch_add(1, Ordering::Relaxed),
            in_hand,
            asking: Vec::new(),
            events,
        };
        let names = Names::new(&Config::default().prefix);
        self.send(names.replies(), names.reports(), report.encode())
            .await;
    }

    /// Tells progress and nothing else.
    pub(crate) async fn progress(&self, attempt: &Attempt, seq: u64, fraction: f64) {
        let data = json!({ "fraction": fraction });
        self.tell(attempt, &[(seq, EventKind::Progress, data)])
            .await;
    }

    /// Succeeds, after so many events were told.
    pub(crate) async fn succeed(&self, attempt: Attempt, output: &str, events: i64) {
        let reply = event::Reply::Succeeded {
            media_type: "application/json".to_owned(),
            output: output.to_owned().into(),
        };
        self.answer(attempt, reply, events).await;
    }

    /// Answers, after so many events were told.
    pub(crate) async fn answer(&self, attempt: Attempt, reply: event::Reply, events: i64) {
        let mut reply = v1::Reply::new(&attempt.correlation, reply);
        reply.head.events = Some(events);
        let envelope = reply.encode();
        self.send(String::new(), attempt.reply_to, envelope).await;
        if let Some(delivery) = attempt.delivery {
            delivery.ack();
        }
    }

    async fn send(&self, exchange: String, key: String, envelope: Envelope) {
        let message = Message {
            exchange,
            key,
            durable: true,
            envelope,
        };
        confirmed(&*self.broker, message).await;
    }
}
