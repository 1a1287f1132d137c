//! A clerk that is made of the broker and the wire contract alone, and a worker beside it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clerkwork_broker::{Broker, Consumer, Message, Queue, QueueKind, Source};
use clerkwork_core::{Failure, JobId, Retry, UnixMs, event};
use clerkwork_wire::v1::{Control, Job, Reply, Report, Stopped, decode_replies};
use clerkwork_wire::{Envelope, Names};
use clerkwork_worker::{Error, Health, Options, Worker};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answers;

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A clerk of a test.
pub(crate) struct Clerk {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) names: Names,
    replies: Box<dyn Consumer>,
    reports: Box<dyn Consumer>,
    answered: VecDeque<Reply>,
    /// How many replies each message held.
    pub(crate) packs: Vec<usize>,
    /// Whether it greets workers that say they were not.
    pub(crate) greets: bool,
    /// Whether it grants whatever is asked for.
    pub(crate) grants: bool,
    pub(crate) paused: Vec<String>,
    /// All reports so far.
    pub(crate) heard: Vec<Report>,
}

/// A worker of a test.
pub(crate) struct Working {
    pub(crate) shutdown: CancellationToken,
    pub(crate) health: watch::Receiver<Health>,
    handle: JoinHandle<Result<(), Error>>,
}

/// A job to submit.
pub(crate) struct Submission {
    pub(crate) job: JobId,
    pub(crate) wire: Job,
}

/// Quick settings for tests.
pub(crate) fn options(prefix: &str) -> Options {
    Options {
        prefix: prefix.to_owned(),
        heartbeat: Duration::from_millis(100),
        grace: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A job for any queue.
pub(crate) fn job(names: &Names, input: impl Into<Bytes>) -> Submission {
    let job = JobId::at(UnixMs(1_763_900_000_000));
    let wire = Job {
        message_id: format!("{job}:1"),
        correlation: format!("correlation-of-{job}"),
        reply_to: names.replies(),
        content_type: "application/json".to_owned(),
        input: input.into(),
        timeout_ms: 60_000,
        dispatched_at: UnixMs(0),
        start_by: None,
        ask: false,
        trace: None,
        tenant: None,
    };
    Submission { job, wire }
}

impl Clerk {
    /// Declares all that a fleet needs and these job queues, and listens.
    pub(crate) async fn new(broker: Arc<dyn Broker>, prefix: &str, queues: &[&str]) -> Self {
        let names = Names::new(prefix);
        let shared = |name: String, kind| Queue {
            exchange: Some(names.replies()),
            name,
            kind,
            dead_letters: None,
        };
        broker
            .declare(&shared(names.replies(), QueueKind::Keep))
            .await
            .unwrap();
        broker
            .declare(&shared(names.reports(), QueueKind::Hints))
            .await
            .unwrap();
        broker.declare_fanout(&names.control()).await.unwrap();
        let replies = broker
            .consume(Source::Queue(names.replies()), 1_000)
            .await
            .unwrap();
        let reports = broker
            .consume(Source::Queue(names.reports()), 1_000)
            .await
            .unwrap();
        let clerk = Self {
            broker,
            names,
            replies,
            reports,
            answered: VecDeque::new(),
            packs: Vec::new(),
            greets: true,
            grants: true,
            paused: Vec::new(),
            heard: Vec::new(),
        };
        for queue in queues {
            clerk.declare(queue).await;
        }
        clerk
    }

    pub(crate) async fn declare(&self, queue: &str) {
        let queue = Queue {
            name: self.names.jobs(queue),
            kind: QueueKind::Keep,
            exchange: None,
            dead_letters: None,
        };
        self.broker.declare(&queue).await.unwrap();
    }

    /// Submits a job of JSON and returns its correlation id.
    pub(crate) async fn submit(&self, queue: &str, input: &str) -> Submission {
        let submission = job(&self.names, input.to_owned());
        self.publish(queue, submission.wire.clone().encode()).await;
        submission
    }

    pub(crate) async fn publish(&self, queue: &str, envelope: Envelope) {
        let key = self.names.jobs(queue);
        let message = Message {
            exchange: String::new(),
            key,
            durable: true,
            envelope,
        };
        let published = self.broker.publish(vec![message]).await;
        assert_eq!(published, [clerkwork_broker::Published::Confirmed]);
    }

    /// Submits many at once, and returns their correlation ids.
    pub(crate) async fn submit_all(&self, queue: &str, inputs: &[String]) -> HashSet<String> {
        let key = self.names.jobs(queue);
        let jobs: Vec<_> = inputs
            .iter()
            .map(|input| job(&self.names, input.clone()))
            .collect();
        let messages = jobs.iter().map(|job| Message {
            exchange: String::new(),
            key: key.clone(),
            durable: true,
            envelope: job.wire.clone().encode(),
        });
        let published = self.broker.publish(messages.collect()).await;
        assert!(
            published
                .iter()
                .all(|it| *it == clerkwork_broker::Published::Confirmed)
        );
        jobs.into_iter().map(|job| job.wire.correlation).collect()
    }

    /// The next reply, greeting workers meanwhile.
    pub(crate) async fn reply(&mut self) -> Reply {
        let next = async {
            loop {
                if let Some(reply) = self.answered.pop_front() {
                    return reply;
                }
                tokio::select! {
                    batch = self.replies.next_batch(100) => for delivery in batch.unwrap() {
                        let packed = decode_replies(&delivery.envelope).unwrap();
                        assert_eq!(packed.broken, None);
                        self.packs.push(packed.replies.len());
                        self.answered.extend(packed.replies);
                        delivery.ack();
                    },
                    batch = self.reports.next_batch(100) => for delivery in batch.unwrap() {
                        let report = Report::decode(&delivery.envelope).unwrap();
                        delivery.ack();
                        answers::greet(&self.broker, self.greets, &self.paused, &report).await;
                        if self.grants {
                            answers::grant(&self.broker, &report).await;
                        }
                        self.heard.push(report);
                    },
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a reply in time")
    }

    /// The outcome of the next reply, which must be for this job.
    pub(crate) async fn outcome(&mut self, of: &Submission) -> event::Reply {
        let reply = self.reply().await;
        assert_eq!(reply.head.correlation, of.wire.correlation);
        reply.outcome(1).unwrap()
    }

    /// The next report that fits, greeting workers meanwhile.
    pub(crate) async fn report(&mut self, fits: impl Fn(&Report) -> bool) -> Report {
        let next = async {
            loop {
                for delivery in self.reports.next_batch(1).await.unwrap() {
                    let report = Report::decode(&delivery.envelope).unwrap();
                    delivery.ack();
                    answers::greet(&self.broker, self.greets, &self.paused, &report).await;
                    if self.grants {
                        answers::grant(&self.broker, &report).await;
                    }
                    self.heard.push(report.clone());
                    if fits(&report) {
                        return report;
                    }
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a report in time")
    }

    /// Waits for a report of a worker that was greeted.
    pub(crate) async fn greeted(&mut self) -> Report {
        self.report(|report| report.worker.greeted).await
    }

    /// How many jobs of a queue nobody has.
    pub(crate) async fn ready(&self, queue: &str) -> u64 {
        self.broker
            .look(&self.names.jobs(queue))
            .await
            .unwrap()
            .unwrap()
            .ready
    }

    /// Tells that an attempt was cancelled.
    pub(crate) async fn cancel(&self, submission: &Submission) {
        let cancel = vec![Stopped {
            job: submission.job.to_string(),
            attempt: 1,
        }];
        self.tell(Control {
            cancel,
            ..Control::default()
        })
        .await;
    }

    /// Tells all workers.
    pub(crate) async fn tell(&self, control: Control) {
        let (exchange, key) = (self.names.control(), String::new());
        let envelope = control.encode();
        self.broker
            .send(vec![Message {
                exchange,
                key,
                durable: false,
                envelope,
            }])
            .await;
    }
}

impl Working {
    pub(crate) fn start<S: Clone + Send + Sync + 'static>(
        worker: Worker<S>,
        broker: &Arc<dyn Broker>,
    ) -> Self {
        let (shutdown, health) = (CancellationToken::new(), worker.health());
        let handle = tokio::spawn(worker.run(Arc::clone(broker), shutdown.clone()));
        Self {
            shutdown,
            health,
            handle,
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(self) {
        timeout(PATIENCE, self.handle)
            .await
            .expect("it ends in time")
            .unwrap()
            .unwrap();
    }

    /// Tells it to drain and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(self) {
        self.handle.abort();
        let _ = self.handle.await;
    }
}

/// A door that jobs wait at, so that a test knows that they run and decides when they end.
#[derive(Clone)]
pub(crate) struct Door {
    came: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self {
            came: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits, in a handler, until a test lets it through.
    pub(crate) async fn pass(&self) {
        self.came.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    /// Waits, in a test, until one more handler has come.
    pub(crate) async fn somebody(&self) {
        timeout(PATIENCE, self.came.acquire())
            .await
            .expect("a start in time")
            .unwrap()
            .forget();
    }

    /// How many came since they were last waited for.
    pub(crate) fn waiting(&self) -> usize {
        self.came.available_permits()
    }

    /// Lets this many through.
    pub(crate) fn open(&self, count: usize) {
        self.open.add_permits(count);
    }
}

/// Waits until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"));
}

/// The failure of an outcome, and whether to retry.
pub(crate) fn failure(outcome: event::Reply) -> (Failure, Retry) {
    match outcome {
        event::Reply::Failed { failure, retry } => (failure, retry),
        other => panic!("no failure: {other:?}"),
    }
}

/// The output of a success, as text.
pub(crate) fn text(outcome: &event::Reply) -> &str {
    match outcome {
        event::Reply::Succeeded { output, .. } => std::str::from_utf8(output).unwrap(),
        other => panic!("no success: {other:?}"),
    }
}
