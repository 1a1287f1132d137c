//! The queues that there are, which of them are paused, and who serves them.

mod declare;
mod delete;
mod failures;
mod learn;
mod look;
mod purge;
mod serving;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{Clock as _, JobId, QueueName, SystemClock};
use clerkwork_store::Store;
use clerkwork_wire::Names;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cancels::Control;
use crate::config::Config;
use crate::error::Refusal;
use crate::health::Health;
use crate::overtaken::Overtaken;
use crate::recorder::RecorderHandle;
use crate::settler::Settler;
use crate::window::Window;
use declare::{Undeclared, declare_at_each_connect, declare_missing};
use failures::DeclareFailures;
pub(crate) use failures::FailedQueues;
use learn::learn;
use look::{look_where_wanted, refresh};
use purge::{Purge, purge_where_asked};

/// The known queues; cheap to clone.
#[derive(Clone, Debug)]
pub struct Queues(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    names: Names,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    recorder: RecorderHandle,
    clock: Arc<SystemClock>,
    window: Window,
    control: Control,
    known: Mutex<BTreeMap<QueueName, Known>>,
    missing: mpsc::Sender<QueueName>,
    /// Queues that workers serve and that are not known.
    served: mpsc::Sender<QueueName>,
    /// Queues that have jobs and that are not known.
    with_jobs: mpsc::Sender<QueueName>,
    failures: DeclareFailures,
    purges: mpsc::Sender<Purge>,
    /// Held by the one that declares a queue on the broker.
    declaring: tokio::sync::Mutex<()>,
    /// Held during a look at a queue for a client.
    looking: tokio::sync::Mutex<()>,
    /// The clerks that live.
    clerks: AtomicUsize,
    declared: AtomicBool,
    /// They are declared: wakes all in the order in which they came to wait.
    all_declared: Notify,
    /// Some of the fleet's own are gone.
    own_gone: Notify,
}

#[derive(Clone, Debug, Default)]
struct Known {
    paused: bool,
    workers: usize,
    /// Of these, the ones that were heard within a lease.
    reporting: u64,
    /// The reason for which no worker can start its jobs.
    cannot_start: Option<Arc<str>>,
    /// The consumers at the last look that was answered.
    consumers: Option<(u64, Instant)>,
    /// The last look for a client.
    asked_at: Option<Instant>,
}

/// The reason why a queue is not declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// The store is away or did not answer.
    #[error(transparent)]
    Store(#[from] Refusal),
    /// The broker has it with other arguments, or refuses to make it.
    #[error(transparent)]
    Broker(clerkwork_broker::Error),
}

/// The interval at which the store's queues and the broker's depths are read.
const REFRESH: Duration = Duration::from_secs(1);

impl Queues {
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        recorder: RecorderHandle,
        clock: Arc<SystemClock>,
        window: Window,
        control: Control,
    ) -> (Self, Asked) {
        let (missing, missing_queues) = mpsc::channel(1_024);
        let (served, served_queues) = mpsc::channel(1_024);
        let (with_jobs, queues_with_jobs) = mpsc::channel(1_024);
        let (purges, asked_purges) = mpsc::channel(16);
        let inner = Inner {
            config: config.clone(),
            names: Names::new(&config.prefix),
            store,
            broker,
            recorder,
            clock,
            window,
            control,
            known: Mutex::default(),
            missing,
            served,
            with_jobs,
            failures: DeclareFailures::default(),
            purges,
            declaring: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            clerks: AtomicUsize::new(1),
            declared: AtomicBool::new(false),
            all_declared: Notify::new(),
            own_gone: Notify::new(),
        };
        let asked = Asked {
            missing: missing_queues,
            served: served_queues,
            with_jobs: queues_with_jobs,
            purges: asked_purges,
        };
        (Self(Arc::new(inner)), asked)
    }

    /// Finds those of these queues to which nothing can be submitted: they are not known, and submissions create
    /// none.
    ///
    /// # Errors
    /// The store is away, and one of them was not known before.
    pub async fn unknown(&self, queues: &[&QueueName]) -> Result<Vec<QueueName>, Refusal> {
        if self.0.config.create_queues || self.not_known(queues).is_empty() {
            return Ok(Vec::new());
        }
        self.refresh().await?;
        Ok(self.not_known(queues))
    }

    /// Declares those of these queues that are not known yet: something is submitted to them.
    ///
    /// # Errors
    /// [`DeclareError`]; of the queue that was refused nothing is left. One that the store had before is none: jobs
    /// wait until the broker has it, which is tried again.
    pub async fn create(&self, queues: &[&QueueName]) -> Result<(), DeclareError> {
        for queue in self.not_known(queues) {
            match self.declare(&queue).await {
                Err(DeclareError::Broker(_)) if self.is_known(&queue) => {}
                declared => _ = declared?,
            }
        }
        Ok(())
    }

    fn not_known(&self, queues: &[&QueueName]) -> Vec<QueueName> {
        let known = self.known();
        let not_known = queues.iter().filter(|queue| !known.contains_key(**queue));
        not_known.map(|queue| (*queue).clone()).collect()
    }

    /// Declares a queue; whether it is new. One that the broker refuses is not made.
    ///
    /// # Errors
    /// [`DeclareError`]. A broker that is away is none.
    pub async fn declare(&self, queue: &QueueName) -> Result<bool, DeclareError> {
        let inner = &self.0;
        let now = inner.clock.now();
        let names = std::slice::from_ref(queue);
        let new = inner.store.declare_queues(names, now).await;
        let is_new = !new.map_err(Refusal::from)?.is_empty();
        self.know(queue);
        // Before anything is published to it; where that fails the dispatch comes back and it is
        // declared then.
        match self.declare_on_broker(queue, is_new).await {
            Ok(()) => {}
            Err(error) if !error.is_refusal() => {
                tracing::warn!(%queue, %error, "the queue could not be declared on the broker yet");
            }
            Err(Undeclared::Record(refusal)) => return Err(refusal.into()),
            Err(Undeclared::Broker(error)) => {
                if is_new {
                    self.unmake(queue).await?;
                }
                return Err(DeclareError::Broker(error));
            }
        }
        Ok(is_new)
    }

    /// The queues that the broker does not have as they should be.
    pub(crate) fn failed(&self) -> FailedQueues {
        self.0.failures.all()
    }

    fn know(&self, queue: &QueueName) {
        self.known().entry(queue.clone()).or_default();
    }

    fn is_known(&self, queue: &QueueName) -> bool {
        self.known().contains_key(queue)
    }

    /// Pauses a queue or lets it go on; `false` if it is not known.
    ///
    /// # Errors
    /// The store is away or did not answer.
    pub async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, Refusal> {
        if !self.0.store.pause_queue(queue, paused).await? {
            return Ok(false);
        }
        self.set_paused(queue, paused);
        self.0.control.paused([(queue, paused)]);
        Ok(true)
    }

    /// The first of the jobs that may be out without a time to look at them: what is older has been given
    /// one.
    pub(crate) fn recent(&self) -> JobId {
        JobId::first_of(self.0.clock.now().before(self.0.config.margin * 5))
    }

    /// Tells why none of the workers that serve it can start its jobs; `None` where one can, or none is there.
    #[must_use]
    pub fn cannot_start(&self, queue: &QueueName) -> Option<Arc<str>> {
        self.known().get(queue)?.cannot_start.clone()
    }

    /// Tells whether it is paused.
    #[must_use]
    pub fn is_paused(&self, queue: &QueueName) -> bool {
        self.known().get(queue).is_some_and(|known| known.paused)
    }

    /// Finds those of these that are paused.
    pub(crate) fn paused_of<'q>(&self, queues: impl Iterator<Item = &'q String>) -> Vec<String> {
        let known = self.known();
        let paused = |name: &&String| {
            name.parse::<QueueName>()
                .ok()
                .is_some_and(|name| known.get(&name).is_some_and(|known| known.paused))
        };
        queues.filter(paused).cloned().collect()
    }

    /// Waits until this connection's queues are declared. Cancel safe.
    pub(crate) async fn declared(&self) {
        // Made before the look, so that none is missed in between.
        let all_declared = self.0.all_declared.notified();
        if !self.is_declared() {
            all_declared.await;
        }
    }

    /// One of the fleet's own queues is gone: they are all declared anew.
    pub(crate) fn own_are_gone(&self) {
        self.set_declared(false);
        self.0.own_gone.notify_one();
    }

    /// The broker has no such queue, though it is known.
    pub(crate) fn missing(&self, queue: &QueueName) {
        let name = self.0.names.jobs(queue.as_str());
        self.0.failures.is_missing(&name);
        // Full means that it is being seen to.
        let _ = self.0.missing.try_send(queue.clone());
    }

    /// A job could not be dispatched: the broker has no such queue.
    pub(crate) fn unroutable(&self, queue: &QueueName) {
        if self.is_known(queue) {
            self.missing(queue);
        } else {
            self.has_jobs(queue);
        }
    }

    /// Jobs of a queue are in the store: one that was deleted while they were accepted is known again.
    pub(crate) fn has_jobs(&self, queue: &QueueName) {
        if !self.is_known(queue) {
            // Full means that others are being added; the jobs are found again.
            let _ = self.0.with_jobs.try_send(queue.clone());
        }
    }

    /// A worker says that the broker has no such queue.
    pub(crate) fn reported_missing(&self, queue: &QueueName) {
        if self.is_known(queue) {
            self.missing(queue);
        }
    }

    fn is_declared(&self) -> bool {
        self.0.declared.load(Ordering::Acquire)
    }

    fn set_declared(&self, declared: bool) {
        self.0.declared.store(declared, Ordering::Release);
        if declared {
            self.0.all_declared.notify_waiters();
        }
    }

    fn set_paused(&self, queue: &QueueName, paused: bool) {
        self.known().entry(queue.clone()).or_default().paused = paused;
        self.0.window.pause(queue, paused);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<QueueName, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests to the task.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Queues that the broker does not have.
    missing: mpsc::Receiver<QueueName>,
    /// Queues that workers serve and that are not known.
    served: mpsc::Receiver<QueueName>,
    /// Queues that have jobs and that are not known.
    with_jobs: mpsc::Receiver<QueueName>,
    purges: mpsc::Receiver<Purge>,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct QueuesTask {
    pub(crate) queues: Queues,
    pub(crate) settler: Settler,
    pub(crate) overtaken: Overtaken,
    pub(crate) health: Health,
    pub(crate) asked: Asked,
    pub(crate) stop: CancellationToken,
}

impl QueuesTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let Self {
            queues,
            settler,
            overtaken,
            health,
            asked,
            stop,
        } = self;
        let work = async {
            tokio::join!(
                declare_at_each_connect(&queues),
                declare_missing(&queues, asked.missing),
                learn(&queues, asked.served, asked.with_jobs),
                purge_where_asked(&queues, asked.purges),
                refresh(&queues, &overtaken, &settler, &health),
                look_where_wanted(&queues),
            )
        };
        let _ = stop.run_until_cancelled(work).await;
    }
}
