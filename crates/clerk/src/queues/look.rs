//! Looks once a second: at the store's queues and workers, and at the broker's depths.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clerkwork_broker::{Depth, Status};
use clerkwork_core::{Clock as _, QueueName};
use clerkwork_store::{Error, KnownQueue};
use clerkwork_wire::v1::WorkerInfo;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Queues, REFRESH};
use crate::cancels::PART;
use crate::health::Health;
use crate::overtaken::{Look, Overtaken};
use crate::settler::Settler;

/// The workers of a queue.
#[derive(Clone, Default)]
struct Serving {
    workers: usize,
    reporting: u64,
    /// The number of these that cannot start its jobs, and why one of them cannot.
    not_starting: usize,
    why: Option<String>,
}

/// The most bytes of a reason why jobs cannot be started.
const REASON: usize = 512;

/// The interval at which workers are told which queues are paused though nothing has changed: any word may be lost, or
/// overtaken by an older one.
const TELL: Duration = Duration::from_secs(15);

pub(super) async fn refresh(
    queues: &Queues,
    overtaken: &Overtaken,
    settler: &Settler,
    health: &Health,
) {
    let mut every = tokio::time::interval(REFRESH);
    let mut status = queues.0.broker.status();
    let (mut told, mut told_at) = (BTreeSet::new(), Instant::now());
    loop {
        every.tick().await;
        let read = async {
            queues.refresh().await?;
            let paused = queues.paused();
            if paused != told || told_at.elapsed() >= TELL {
                queues.tell_paused(&paused);
                (told, told_at) = (paused, Instant::now());
            }
            queues.refresh_workers().await
        };
        let read = read.await;
        if let Err(error) = &read {
            tracing::debug!(%error, "queues could not be read");
        }
        // Without the workers nobody can tell who consumes.
        if read.is_err() || !is_steady(&mut status) {
            overtaken.lost_sight_of_all();
        }
        let answers = queues.prove_looks(health).await;
        queues.0.clerks.store(settler.clerks(), Ordering::Relaxed);
        queues.look_at_depths(overtaken, answers).await;
    }
}

/// Looks at once at the queues whose jobs wait for that.
pub(super) async fn look_where_wanted(queues: &Queues) {
    let window = &queues.0.window;
    loop {
        window.look_wanted().await;
        for queue in window.wanted_looks() {
            queues.look_at(&queue).await;
        }
    }
}

/// Tells whether the broker was there and took publishes ever since the last time.
fn is_steady(status: &mut watch::Receiver<Status>) -> bool {
    let changed = status.has_changed().unwrap_or(true);
    *status.borrow_and_update() == Status::Up && !changed
}

impl Queues {
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let before: Vec<QueueName> = self.known().keys().cloned().collect();
        let stored = self.0.store.queues().await?;
        let there: BTreeSet<&QueueName> = stored.iter().map(|known| &known.name).collect();
        // Another clerk has deleted them.
        for gone in before.iter().filter(|name| !there.contains(name)) {
            self.forget(gone);
        }
        for KnownQueue { name, paused } in stored {
            let before = self.known().get(&name).map(|known| known.paused);
            if before != Some(paused) {
                self.set_paused(&name, paused);
            }
            if before.is_none() {
                self.missing(&name);
            }
        }
        Ok(())
    }

    fn paused(&self) -> BTreeSet<QueueName> {
        let known = self.known();
        let paused = known.iter().filter(|(_, known)| known.paused);
        paused.map(|(name, _)| name.clone()).collect()
    }

    /// Tells every worker which queues are paused, and that the others are not.
    fn tell_paused(&self, paused: &BTreeSet<QueueName>) {
        let known: Vec<QueueName> = self.known().keys().cloned().collect();
        for names in known.chunks(PART) {
            let told = names.iter().map(|name| (name, paused.contains(name)));
            self.0.control.paused(told);
        }
    }

    async fn refresh_workers(&self) -> Result<(), Error> {
        let (now, lease) = (self.0.clock.now(), self.0.config.lease);
        let mut serving: HashMap<String, Serving> = HashMap::new();
        for row in self.0.store.workers(None, now.before(lease * 3)).await? {
            if let Ok(about) = serde_json::from_str::<WorkerInfo>(&row.about)
                && !about.draining
            {
                let reports = now.since(row.seen_at) < lease;
                let mut cannot_start = about.cannot_start;
                for queue in about.queues.into_keys() {
                    let why = cannot_start.remove(&queue);
                    let serving = serving.entry(queue).or_default();
                    serving.workers += 1;
                    serving.reporting += u64::from(reports);
                    serving.not_starting += usize::from(why.is_some());
                    serving.why = why.or(serving.why.take());
                }
            }
        }
        for (name, known) in self.known().iter_mut() {
            let serving = serving.remove(name.as_str()).unwrap_or_default();
            known.workers = serving.workers;
            known.reporting = serving.reporting;
            let none_can = serving.not_starting == serving.workers;
            let why = serving.why.filter(|_| none_can);
            known.cannot_start = why.map(|why| why[..why.floor_char_boundary(REASON)].into());
            self.0.window.reporting(name, serving.reporting);
        }
        Ok(())
    }

    /// Looks at the queue of replies, to tell whether the broker answers for its queues: nothing is
    /// dispatched to a queue that cannot be looked at.
    async fn prove_looks(&self, health: &Health) -> bool {
        if *self.0.broker.status().borrow() != Status::Up {
            health.looked(None);
            return false;
        }
        let replies = self.0.names.replies();
        let answers = self.is_declared() && self.0.broker.look(&replies).await.is_ok();
        health.looked(Some(answers));
        answers
    }

    async fn look_at_depths(&self, overtaken: &Overtaken, mut answers: bool) {
        let window = &self.0.window;
        let watched = overtaken.to_look_at(&window.to_look_at());
        for queue in &watched {
            match self.look_while(queue, &mut answers).await {
                Some(depth) if !self.is_paused(queue) => {
                    let look = Look {
                        ready: depth.ready,
                        consumers: depth.consumers,
                        reporting: self.reporting(queue),
                    };
                    overtaken.saw(queue, look);
                }
                _ => overtaken.lost_sight(queue),
            }
        }
        for queue in window.to_look_for_consumers() {
            if !watched.contains(&queue) {
                self.look_while(&queue, &mut answers).await;
            }
        }
    }

    /// Looks at a queue on the broker: gives credit by its depth, or declares it where it is missing.
    pub(super) async fn look_at(&self, queue: &QueueName) -> Option<Depth> {
        self.look_while(queue, &mut true).await
    }

    /// The same while the broker answers.
    async fn look_while(&self, queue: &QueueName, answers: &mut bool) -> Option<Depth> {
        let depth = self.depth(queue, answers).await;
        if depth.is_none() && !self.is_known(queue) {
            // It was deleted, and is looked at no more, unless jobs came in meanwhile.
            if self.0.window.forget(queue) {
                self.has_jobs(queue);
            }
            return None;
        }
        let clerks = self.0.clerks.load(Ordering::Relaxed);
        self.0.window.looked(queue, depth, clerks);
        if let Some(depth) = depth {
            self.saw_consumers(queue, depth.consumers);
        }
        depth
    }

    /// The depth of a queue, if it can be had. Once the broker does not answer, the others are not asked
    /// about: each would take as long.
    async fn depth(&self, queue: &QueueName, answers: &mut bool) -> Option<Depth> {
        let name = self.0.names.jobs(queue.as_str());
        if !*answers || self.0.failures.hides(&name) {
            return None;
        }
        match self.0.broker.look(&name).await {
            Ok(Some(depth)) => Some(depth),
            Ok(None) => {
                self.missing(queue);
                None
            }
            Err(error) => {
                *answers = self.0.failures.note(&name, &error);
                None
            }
        }
    }

    /// Counts the workers that send reports and serve it.
    fn reporting(&self, queue: &QueueName) -> u64 {
        self.known().get(queue).map_or(0, |known| known.reporting)
    }
}
