//! A worker that asks, made of the wire contract alone, and a clerk for it.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, Consumer, Envelope, Message, Source};
use clerkwork_clerk::Config;
use clerkwork_wire::Names;
use clerkwork_wire::v1::{Control, Does, Held, InHand, Job, Report, WorkerInfo};

use crate::support::{LIMIT, Office, confirmed};

/// A worker made of the wire contract alone.
pub(crate) struct Asker {
    broker: Arc<dyn Broker>,
    names: Names,
    id: &'static str,
    control: Box<dyn Consumer>,
    seq: i64,
    pub(crate) draining: bool,
}

impl Asker {
    pub(crate) async fn new(office: &Office, id: &'static str) -> Self {
        let names = Names::new(&Config::default().prefix);
        let from = Source::Private {
            prefix: format!("{}.{id}.", names.control()),
            exchange: names.control(),
            declare_exchange: false,
        };
        let control = office.broker.consume(from, 100).await.unwrap();
        Self {
            broker: office.broker.clone(),
            names,
            id,
            control,
            seq: 0,
            draining: false,
        }
    }

    /// Reports once: these deliveries in hand, each started or not, and these questions.
    pub(crate) async fn report(&mut self, in_hand: &[(&Job, bool)], asking: &[&Job]) {
        self.seq += 1;
        let in_hand = in_hand.iter().map(|(job, started)| InHand {
            correlation: job.correlation.clone(),
            started_at: started.then_some(1),
            held: Held::No,
        });
        let report = Report {
            worker: WorkerInfo {
                id: self.id.to_owned(),
                control: self.control.queue().to_owned(),
                does: vec![Does::Ask, Does::Hold, Does::Cancel],
                queues: [("q".to_owned(), 1)].into(),
                greeted: true,
                draining: self.draining,
                every_ms: 100,
                ..WorkerInfo::default()
            },
            seq: self.seq,
            in_hand: in_hand.collect(),
            asking: asking.iter().map(|job| job.correlation.clone()).collect(),
            events: Vec::new(),
        };
        self.send(report.encode()).await;
    }

    async fn send(&self, envelope: Envelope) {
        let message = Message {
            exchange: self.names.replies(),
            key: self.names.reports(),
            durable: false,
            envelope,
        };
        self.broker.send(vec![message]).await;
    }

    /// The next answer, if one comes within that time.
    pub(crate) async fn answer_within(&mut self, limit: Duration) -> Option<Control> {
        let next = async {
            loop {
                for delivery in self.control.next_batch(1).await.unwrap() {
                    let control = Control::decode(&delivery.envelope).unwrap();
                    delivery.ack();
                    if !control.granted.is_empty() || !control.refused.is_empty() {
                        return control;
                    }
                }
            }
        };
        tokio::time::timeout(limit, next).await.ok()
    }

    /// Asks for it, again and again, until there is an answer.
    async fn asks(&mut self, job: &Job) -> Control {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < LIMIT {
            self.report(&[], &[job]).await;
            if let Some(answer) = self.answer_within(Duration::from_millis(100)).await {
                return answer;
            }
        }
        panic!("no answer in time");
    }

    /// Asks, and is granted the job as this attempt.
    pub(crate) async fn is_granted(&mut self, job: &Job, attempt: Option<u32>) -> String {
        let answer = self.asks(job).await;
        assert_eq!(answer.refused, [""; 0]);
        assert_eq!(answer.granted[0].message, job.message_id);
        assert_eq!(answer.granted[0].attempt, attempt);
        answer.granted[0].correlation.clone()
    }

    pub(crate) async fn is_refused(&mut self, job: &Job) {
        let answer = self.asks(job).await;
        assert_eq!(answer.refused, std::slice::from_ref(&job.message_id));
        assert!(answer.granted.is_empty());
    }

    /// Answers that it failed.
    pub(crate) async fn fails(&self, correlation: &str) {
        let mut envelope = Envelope {
            correlation_id: Some(correlation.to_owned()),
            ..Envelope::default()
        };
        envelope.headers.set("outcome", "failed".to_owned());
        envelope.headers.set("retry", "never".to_owned());
        self.reply(envelope).await;
    }

    pub(crate) async fn succeeds(&self, correlation: &str) {
        let envelope = Envelope {
            correlation_id: Some(correlation.to_owned()),
            body: "\"done\"".into(),
            ..Envelope::default()
        };
        self.reply(envelope).await;
    }

    async fn reply(&self, envelope: Envelope) {
        let message = Message {
            exchange: self.names.replies(),
            key: self.names.replies(),
            durable: true,
            envelope,
        };
        confirmed(&*self.broker, message).await;
    }
}

/// A clerk for which a worker is dead that was silent for a second.
pub(crate) async fn office() -> Office {
    Office::with(|config| {
        config.lease = Duration::from_secs(3);
        config.heartbeat = Duration::from_millis(100);
    })
    .await
}

/// The jobs on the queue `q`, as they were sent.
pub(crate) struct Jobs(Box<dyn Consumer>);

impl Jobs {
    pub(crate) async fn of(office: &Office) -> Self {
        let queue = Names::new(&Config::default().prefix).jobs("q");
        let consumer = office.broker.consume(Source::Queue(queue), 100).await;
        Self(consumer.unwrap())
    }

    pub(crate) async fn next(&mut self) -> Job {
        let next = tokio::time::timeout(LIMIT, self.0.next_batch(1)).await;
        let delivery = next.unwrap().unwrap().remove(0);
        let job = Job::decode(&delivery.envelope).unwrap();
        delivery.ack();
        job
    }
}
