//! The settler: tells what was committed to those who wait, here and on the other clerks.
//!
//! Nothing is told before its commit. A notice is a hint: a clerk that misses one is right again
//! after its next sweep of the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerkwork_broker::{Broker, Consumer, Error, Message, Source};
use clerkwork_core::{ClerkId, Job, JobId, JobObject, Status};
use clerkwork_store::{Kept, Store};
use clerkwork_wire::Names;
use clerkwork_wire::v1::{Notice, NoticeJob, SMALL};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cancels::Control;
use crate::config::Config;
use crate::recorder::Settled;
use crate::waiters::{Shown, Waiters};

/// Tells what was committed; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    config: Arc<Config>,
    waiters: Waiters,
    control: Control,
    peers: Arc<AtomicUsize>,
    incarnation: watch::Receiver<ClerkId>,
    notices: mpsc::Sender<Vec<Told>>,
}

/// A change that other clerks may want to know of.
#[derive(Debug)]
struct Told {
    job: NoticeJob,
    /// The object, for the clerk that dispatched it, if that is another.
    outcome: Option<(ClerkId, Box<JobObject>)>,
    /// Whether waiters here have not been told yet.
    untold_here: bool,
}

/// The most changes of one notice.
const NOTICE: usize = 1_000;
/// How often waiters are checked against the store, whatever notices say.
const SWEEP: Duration = Duration::from_secs(4);
/// The most ids of one look at the store.
const LOOK: usize = 500;
const PREFETCH: u16 = 200;
const AGAIN: Duration = Duration::from_millis(500);

impl Settler {
    pub(crate) fn new(
        config: &Config,
        waiters: Waiters,
        control: Control,
        incarnation: watch::Receiver<ClerkId>,
    ) -> (Self, NoticeQueue) {
        let (notices, receiver) = mpsc::channel(1_024);
        let peers = Arc::new(AtomicUsize::new(0));
        let config = Arc::new(config.clone());
        (
            Self {
                config,
                waiters,
                control,
                peers,
                incarnation,
                notices,
            },
            NoticeQueue(receiver),
        )
    }

    /// How many other clerks live; without any there is nobody to notify.
    pub(crate) fn set_peers(&self, peers: usize) {
        self.peers.store(peers, Ordering::Relaxed);
    }

    /// All clerks that live, this one included.
    pub(crate) fn clerks(&self) -> usize {
        self.peers.load(Ordering::Relaxed) + 1
    }

    /// Tells committed changes: local waiters at once, workers to stop at once, other clerks soon.
    pub(crate) fn settle(&self, settled: Vec<Settled>) {
        let stops = settled
            .iter()
            .filter_map(|settled| Some((settled.job.id, settled.stop?)))
            .collect::<Vec<_>>();
        self.control.stop_attempts(&stops);
        let alone = self.peers.load(Ordering::Relaxed) == 0;
        let mut told = Vec::new();
        for settled in settled {
            let (id, rev) = (settled.job.id, settled.job.standing.rev);
            if !alone {
                told.push(self.told(&settled));
            }
            self.waiters.tell(id, || {
                Arc::new(Shown {
                    rev,
                    job: self.object(&settled.job, settled.output.as_deref()),
                })
            });
        }
        self.notify(told);
    }

    /// Tells of jobs that are not at hand, by their revisions: waiters read them from the store.
    pub(crate) fn unread(&self, jobs: Vec<(JobId, u32)>, status: Status) {
        let told = |(id, rev)| Told {
            job: NoticeJob { id, rev, status },
            outcome: None,
            untold_here: true,
        };
        self.notify(jobs.into_iter().map(told).collect());
    }

    fn notify(&self, told: Vec<Told>) {
        if !told.is_empty() && self.notices.try_send(told).is_err() {
            tracing::debug!("notices are behind; waiters will be told by the sweep");
        }
    }

    fn told(&self, settled: &Settled) -> Told {
        let job = &settled.job;
        let here = *self.incarnation.borrow();
        let small = settled.output.as_ref().map_or(0, bytes::Bytes::len) < SMALL - 1_024;
        let to = settled
            .dispatched_by
            .filter(|clerk| *clerk != here && job.is_done() && small);
        Told {
            job: NoticeJob {
                id: job.id,
                rev: job.standing.rev,
                status: job.standing.state.status(),
            },
            outcome: to.map(|to| (to, Box::new(self.object(job, settled.output.as_deref())))),
            untold_here: false,
        }
    }

    fn object(&self, job: &Job, output: Option<&[u8]>) -> JobObject {
        let mut object = JobObject::of(job, self.config.retention);
        if let Some(output) = output.and_then(raw) {
            object.show_output(output);
        }
        object
    }

    fn tell_kept(&self, kept: Kept) {
        let Kept { job, output } = kept;
        let (id, rev) = (job.id, job.standing.rev);
        self.waiters.tell(id, || {
            Arc::new(Shown {
                rev,
                job: self.object(&job, output.as_deref()),
            })
        });
    }
}

/// JSON that was checked when it was recorded.
fn raw(output: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(output).ok()?.to_owned()).ok()
}

/// Changes that wait to be put into notices.
#[derive(Debug)]
pub(crate) struct NoticeQueue(mpsc::Receiver<Vec<Told>>);

/// The task's state.
#[derive(Debug)]
pub(crate) struct SettlerTask {
    pub(crate) names: Names,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) settler: Settler,
    pub(crate) queue: NoticeQueue,
    pub(crate) stop: CancellationToken,
}

impl SettlerTask {
    /// Runs until it is stopped: sends notices, takes those of others, and sweeps.
    pub(crate) async fn run(self) {
        let Self {
            names,
            store,
            broker,
            settler,
            queue,
            stop,
        } = self;
        let listener = Listener {
            names,
            store,
            broker,
            settler,
        };
        let work =
            async { tokio::join!(listener.send(queue), listener.listen(), listener.sweep()) };
        let _ = stop.run_until_cancelled(work).await;
    }
}

fn notice(clerk: ClerkId, told: Vec<Told>) -> Notice {
    let mut notice = Notice {
        clerk,
        jobs: Vec::new(),
        outcomes: BTreeMap::new(),
        events: Vec::new(),
    };
    for told in told {
        notice.jobs.push(told.job);
        if let Some((clerk, object)) = told.outcome {
            notice.outcomes.entry(clerk).or_default().push(*object);
        }
    }
    notice
}

/// Keeps local waiters right by what others tell and by what the store says.
struct Listener {
    names: Names,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    settler: Settler,
}

impl Listener {
    async fn send(&self, mut queue: NoticeQueue) {
        while let Some(mut told) = queue.0.recv().await {
            while told.len() < NOTICE
                && let Ok(more) = queue.0.try_recv()
            {
                told.extend(more);
            }
            let here = told
                .iter()
                .filter(|told| told.untold_here)
                .map(|told| told.job.id);
            let untold: Vec<JobId> = here.filter(|id| self.settler.waiters.has(*id)).collect();
            if self.settler.clerks() > 1 {
                self.notify(told).await;
            }
            self.read(&untold).await;
        }
    }

    async fn notify(&self, mut told: Vec<Told>) {
        let clerk = *self.settler.incarnation.borrow();
        while !told.is_empty() {
            let rest = told.split_off(told.len().min(NOTICE));
            let mut envelope = notice(clerk, std::mem::replace(&mut told, rest)).encode();
            envelope.user_id = Some(self.broker.user());
            let exchange = self.names.notices();
            let message = Message {
                exchange,
                key: String::new(),
                durable: false,
                envelope,
            };
            self.broker.send(vec![message]).await;
        }
    }

    async fn listen(&self) {
        loop {
            let clerk = self.settler.incarnation.borrow().to_string();
            let from = Source::Private {
                prefix: format!("{}.{clerk}.", self.names.notices()),
                exchange: self.names.notices(),
                declare_exchange: true,
            };
            match self.broker.consume(from, PREFETCH).await {
                Ok(mut consumer) => {
                    let error = self.take(consumer.as_mut()).await;
                    tracing::debug!(%error, "the consumer of notices ended");
                }
                Err(error) => tracing::warn!(%error, "notices cannot be consumed yet"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn take(&self, consumer: &mut dyn Consumer) -> Error {
        loop {
            let deliveries = match consumer.next_batch(usize::from(PREFETCH)).await {
                Ok(deliveries) => deliveries,
                Err(error) => return error,
            };
            let mut changed = Vec::new();
            let here = *self.settler.incarnation.borrow();
            for delivery in deliveries {
                if !Notice::is_from(&delivery.envelope, here)
                    && let Ok(notice) = Notice::decode(&delivery.envelope)
                {
                    self.take_notice(notice, here, &mut changed);
                }
                delivery.ack();
            }
            self.read(&changed).await;
        }
    }

    /// Tells outcomes that came along; gathers the jobs that must be read.
    fn take_notice(&self, mut notice: Notice, here: ClerkId, changed: &mut Vec<JobId>) {
        let waiters = &self.settler.waiters;
        let outcomes = notice.outcomes.remove(&here).unwrap_or_default();
        let mut revs: BTreeMap<JobId, u32> =
            notice.jobs.iter().map(|job| (job.id, job.rev)).collect();
        for object in outcomes {
            // A done state is the last one, so its revision is the one that the notice names.
            if let Some(rev) = revs.remove(&object.id) {
                waiters.tell(object.id, || Arc::new(Shown { rev, job: object }));
            }
        }
        changed.extend(revs.into_keys().filter(|id| waiters.has(*id)));
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let waited = self.settler.waiters.waited_for();
            self.read(&waited).await;
        }
    }

    async fn read(&self, ids: &[JobId]) {
        for ids in ids.chunks(LOOK) {
            let most = self.settler.config.max_output as u64;
            match self.store.get(None, ids, most).await {
                Ok(kept) => kept
                    .into_iter()
                    .for_each(|kept| self.settler.tell_kept(kept)),
                Err(error) => {
                    tracing::debug!(%error, "waiters could not be read for; the sweep will");
                    return;
                }
            }
        }
    }
}
