//! What is known of queues: which there are, which are paused, who serves them.

mod declare;
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
use crate::overtaken::Overtaken;
use crate::recorder::RecorderHandle;
use crate::settler::Settler;
use crate::window::Window;
use declare::{declare_at_each_connect, declare_missing};
use look::{look_where_wanted, refresh};
use purge::{Purge, purge_where_asked};

/// What is known of queues; cheap to clone.
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
    purges: mpsc::Sender<Purge>,
    /// Whoever declares a queue on the broker has it.
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

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    paused: bool,
    workers: usize,
    /// Of these, the ones that were heard within a lease.
    reporting: u64,
    /// The consumers at the last look that was answered.
    consumers: Option<(u64, Instant)>,
    /// The last look for a client.
    asked_at: Option<Instant>,
}

/// How often the store's queues and the broker's depths are read.
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
            purges: asked_purges,
        };
        (Self(Arc::new(inner)), asked)
    }

    /// Which of these queues nothing can be submitted to: they are not known, and submissions create
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
    /// The store is away or did not answer.
    pub async fn create(&self, queues: &[&QueueName]) -> Result<(), Refusal> {
        for queue in self.not_known(queues) {
            self.declare(&queue).await?;
        }
        Ok(())
    }

    fn not_known(&self, queues: &[&QueueName]) -> Vec<QueueName> {
        let known = self.known();
        let not_known = queues.iter().filter(|queue| !known.contains_key(**queue));
        not_known.map(|queue| (*queue).clone()).collect()
    }

    /// Declares a queue; whether it is new.
    ///
    /// # Errors
    /// The store is away or did not answer.
    pub async fn declare(&self, queue: &QueueName) -> Result<bool, Refusal> {
        let now = self.0.clock.now();
        let new = self
            .0
            .store
            .declare_queues(std::slice::from_ref(queue), now)
            .await?;
        self.known().entry(queue.clone()).or_default();
        // Before anything is published to it; where that fails the dispatch comes back and it is
        // declared then.
        if let Err(error) = self.declare_on_broker(queue).await {
            tracing::warn!(%queue, %error, "the queue could not be declared on the broker yet");
        }
        Ok(!new.is_empty())
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

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self, queue: &QueueName) -> bool {
        self.known().get(queue).is_some_and(|known| known.paused)
    }

    /// Which of these are paused.
    pub(crate) fn paused_of<'q>(&self, queues: impl Iterator<Item = &'q String>) -> Vec<String> {
        let known = self.known();
        let paused = |name: &&String| {
            name.parse::<QueueName>()
                .ok()
                .and_then(|name| known.get(&name).copied())
                .is_some_and(|known| known.paused)
        };
        queues.filter(paused).cloned().collect()
    }

    /// A worker serves these queues: from now on they are known.
    pub(crate) async fn served(&self, queues: impl Iterator<Item = &String>) {
        let unknown: Vec<QueueName> = queues
            .filter_map(|name| name.parse().ok())
            .inspect(|name| self.0.window.announced(name))
            .filter(|name| !self.known().contains_key(name))
            .collect();
        for queue in unknown {
            if let Err(refusal) = self.declare(&queue).await {
                tracing::warn!(%queue, %refusal, "a worker's queue could not be declared yet");
            }
        }
    }

    /// Waits until this connection's queues are declared. Cancel safe.
    pub(crate) async fn declared(&self) {
        // Made before the look, so that none is missed in between.
        let all_declared = self.0.all_declared.notified();
        if !self.0.declared.load(Ordering::Acquire) {
            all_declared.await;
        }
    }

    /// One of the fleet's own queues is gone: they are all declared anew.
    pub(crate) fn own_are_gone(&self) {
        self.set_declared(false);
        self.0.own_gone.notify_one();
    }

    /// The broker has no such queue, though the store knows it.
    pub(crate) fn missing(&self, queue: &QueueName) {
        // Full means that it is being seen to.
        let _ = self.0.missing.try_send(queue.clone());
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
    missing: mpsc::Receiver<QueueName>,
    purges: mpsc::Receiver<Purge>,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct QueuesTask {
    pub(crate) queues: Queues,
    pub(crate) settler: Settler,
    pub(crate) overtaken: Overtaken,
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
            asked,
            stop,
        } = self;
        let work = async {
            tokio::join!(
                declare_at_each_connect(&queues),
                declare_missing(&queues, asked.missing),
                purge_where_asked(&queues, asked.purges),
                refresh(&queues, &overtaken, &settler),
                look_where_wanted(&queues),
            )
        };
        let _ = stop.run_until_cancelled(work).await;
    }
}
