//! The dispatcher: publishes dispatched jobs, many in flight at once, and takes back what was not confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use clerkwork_broker::{Broker, Message, Published};
use clerkwork_core::{Correlation, Dispatch, Event, Job, JobId, QueueName, Seal, UnixMs};
use clerkwork_faults::{Point, reach};
use clerkwork_wire::{Names, v1};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, watch};

use crate::ledger::{Ledger, MOST_OPEN};
use crate::queues::Queues;
use crate::recorder::RecorderHandle;
use crate::window::Window;

/// A dispatched job on its way to the broker.
#[derive(Debug)]
pub(crate) struct Out {
    job: JobId,
    attempt: u32,
    number: i64,
    queue: QueueName,
    message: Message,
}

/// Publishes dispatched jobs; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    outs: mpsc::Sender<Vec<Out>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    names: Names,
    seal: Seal,
    ledger: Ledger,
    send_tenant: bool,
    bytes: AtomicUsize,
    idle: watch::Sender<bool>,
}

/// The most bytes of jobs that wait for the broker in this process's memory.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// The most batches that are being published at a time.
const BATCHES: usize = 256;
/// The batches that may still be handed over when there is no room for more jobs.
const SPARE: usize = 16;
/// How often a drain looks whether all is confirmed.
const LOOK: std::time::Duration = std::time::Duration::from_millis(10);
/// The pause before what was not published is recorded again, where the store is away.
const TAKE_BACK_DELAY: std::time::Duration = std::time::Duration::from_secs(1);
/// How long a drain waits for confirms before it leaves the rest to a peer.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(5);

impl Dispatcher {
    pub(crate) fn new(
        names: Names,
        seal: Seal,
        ledger: Ledger,
        send_tenant: bool,
    ) -> (Self, mpsc::Receiver<Vec<Out>>) {
        let (outs, receiver) = mpsc::channel(1_024);
        let shared = Shared {
            names,
            seal,
            ledger,
            send_tenant,
            bytes: AtomicUsize::new(0),
            idle: watch::channel(true).0,
        };
        (
            Self {
                outs,
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// The message of a dispatched job.
    pub(crate) fn out(&self, job: &Job, dispatch: Dispatch, input: Bytes, now: UnixMs) -> Out {
        let (id, attempt) = (job.id, job.standing.attempt);
        let correlation = Correlation {
            job: id,
            attempt,
            rev: job.standing.rev,
            clerk: dispatch.clerk,
        };
        let envelope = v1::Job {
            message_id: format!("{id}:{attempt}"),
            correlation: self.shared.seal.seal(&correlation),
            reply_to: self.shared.names.replies(),
            content_type: job.input.media_type.clone(),
            input,
            timeout_ms: u64::from(job.spec.timeout_s) * 1_000,
            dispatched_at: now,
            start_by: job.start_by(),
            // An earlier dispatch may still be on its way, or run where we do not hear of it. A lost
            // worker's is doubted too; a retry after an answer is not, for then nothing is left.
            ask: job.standing.doubts > 0,
            trace: Some(job.trace()),
            tenant: self.shared.send_tenant.then(|| job.tenant.to_string()),
        }
        .encode();
        let key = self.shared.names.jobs(job.queue.as_str());
        let message = Message {
            exchange: String::new(),
            key,
            durable: true,
            envelope,
        };
        Out {
            job: id,
            attempt,
            number: dispatch.number,
            queue: job.queue.clone(),
            message,
        }
    }

    /// Hands jobs over for publishing; does not wait for their confirms.
    pub(crate) async fn publish(&self, outs: Vec<Out>) {
        self.shared
            .bytes
            .fetch_add(bytes_of(&outs), Ordering::Relaxed);
        self.shared.idle.send_replace(false);
        // The task ends after everybody who publishes; at the end of a drain a peer takes over.
        let _ = self.outs.send(outs).await;
    }

    /// Whether more jobs may be dispatched: unconfirmed ones are bounded in number and in bytes, and
    /// whoever publishes must not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.ledger.open_count() < MOST_OPEN
            && self.shared.bytes.load(Ordering::Relaxed) < MOST_BYTES
            && self.outs.capacity() > SPARE
    }

    /// Waits until nothing is on its way, for a few seconds; whether that is so.
    pub(crate) async fn settled(&self) -> bool {
        let mut idle = self.shared.idle.subscribe();
        let wait = async {
            while self.shared.ledger.open_count() > 0 {
                // The sender lives as long as we do.
                let _ = idle.wait_for(|idle| *idle).await;
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(SETTLE, wait).await.is_ok()
    }
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct DispatcherTask {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) outs: mpsc::Receiver<Vec<Out>>,
    pub(crate) window: Window,
    pub(crate) queues: Queues,
    pub(crate) recorder: RecorderHandle,
    pub(crate) stop: tokio_util::sync::CancellationToken,
}

/// A job without its message, while that is with the broker.
struct Sent {
    job: JobId,
    attempt: u32,
    number: i64,
    queue: QueueName,
}

/// Dispatches that were not confirmed, with what happened to each.
#[derive(Default)]
struct Unconfirmed {
    numbers: Vec<i64>,
    events: Vec<(JobId, Event)>,
    /// The number of jobs by queue and by the broker's answer.
    counts: BTreeMap<(QueueName, &'static str), usize>,
}

impl DispatcherTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(mut self) {
        let mut publishing = FuturesUnordered::new();
        let mut taking_back = FuturesUnordered::new();
        let stop = self.stop.clone();
        loop {
            // What is answered first: there is never more of it than was let in.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((sent, bytes)) = publishing.next() => {
                    self.dispatcher.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    let unconfirmed = self.confirmed(sent);
                    if !unconfirmed.events.is_empty() {
                        taking_back.push(take_back(self.recorder.clone(), unconfirmed));
                    }
                }
                Some(numbers) = taking_back.next() => self.dispatcher.shared.ledger.close(numbers),
                Some(outs) = self.outs.recv(), if publishing.len() < BATCHES => {
                    self.dispatcher.shared.idle.send_replace(false);
                    publishing.push(publish(self.broker.clone(), outs));
                }
            }
            if publishing.is_empty() && taking_back.is_empty() && self.outs.is_empty() {
                self.dispatcher.shared.idle.send_replace(true);
            }
        }
    }

    /// Closes what was confirmed; returns what was not.
    fn confirmed(&self, sent: Vec<(Sent, Published)>) -> Unconfirmed {
        let mut closed = Vec::with_capacity(sent.len());
        let mut unconfirmed = Unconfirmed::default();
        for (sent, published) in sent {
            match published {
                Published::Confirmed => {
                    reach(Point::DispatchAfterConfirm);
                    closed.push(sent.number);
                    continue;
                }
                Published::Unroutable => self.queues.unroutable(&sent.queue),
                Published::Refused
                | Published::NotSent
                | Published::TooLarge
                | Published::Unknown => {}
            }
            self.window.refused(&sent.queue);
            unconfirmed.add(sent, published);
        }
        self.dispatcher.shared.ledger.close(closed);
        for ((queue, reason), jobs) in &unconfirmed.counts {
            tracing::info!(%queue, jobs, reason, "jobs were not published; redispatching them");
        }
        unconfirmed
    }
}

async fn publish(broker: Arc<dyn Broker>, outs: Vec<Out>) -> (Vec<(Sent, Published)>, usize) {
    let bytes = bytes_of(&outs);
    let (sent, messages): (Vec<Sent>, Vec<Message>) = outs
        .into_iter()
        .map(|out| {
            let Out {
                job,
                attempt,
                number,
                queue,
                message,
            } = out;
            (
                Sent {
                    job,
                    attempt,
                    number,
                    queue,
                },
                message,
            )
        })
        .unzip();
    reach(Point::DispatchBeforePublish);
    let published = broker.publish(messages).await;
    (sent.into_iter().zip(published).collect(), bytes)
}

impl Unconfirmed {
    /// Adds a dispatch: given back for certain, or perhaps lost where no answer came.
    fn add(&mut self, sent: Sent, published: Published) {
        let attempt = sent.attempt;
        let (reason, event) = match published {
            Published::Unknown | Published::Confirmed => {
                ("no confirm came", Event::Doubted { attempt })
            }
            Published::Unroutable => ("the queue is missing", Event::Undelivered { attempt }),
            Published::Refused => ("the broker refused them", Event::Undelivered { attempt }),
            Published::NotSent => ("no connection", Event::Undelivered { attempt }),
            Published::TooLarge => ("too large for the broker", Event::Undelivered { attempt }),
        };
        self.numbers.push(sent.number);
        self.events.push((sent.job, event));
        *self.counts.entry((sent.queue, reason)).or_default() += 1;
    }
}

/// Makes jobs undispatched again, however long the store takes; returns their numbers.
async fn take_back(recorder: RecorderHandle, unconfirmed: Unconfirmed) -> Vec<i64> {
    while let Err(refusal) = recorder.events(unconfirmed.events.clone()).await {
        tracing::warn!(%refusal, "unpublished jobs could not be recorded; trying again");
        tokio::time::sleep(TAKE_BACK_DELAY).await;
    }
    unconfirmed.numbers
}

fn bytes_of(outs: &[Out]) -> usize {
    outs.iter().map(|out| out.message.envelope.body.len()).sum()
}
