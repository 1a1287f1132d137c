//! Credits: the number of jobs of each queue that may still go to the broker.
//!
//! The store is the backlog. About a window's worth of a queue's jobs are on the broker unstarted; the rest wait in the
//! store, where cancel, pause, purge and expiry are exact. So does all of a queue from which nobody consumes.

mod consumers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clerkwork_broker::Depth;
use clerkwork_core::QueueName;
use tokio::sync::Notify;
use tokio::time::Instant;

use consumers::Consumers;

/// The credits of all queues.
#[derive(Clone, Debug)]
pub(crate) struct Window(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size: i64,
    queues: Mutex<BTreeMap<QueueName, Credit>>,
    /// True where any queue may have a backlog that nobody knows of.
    look: AtomicBool,
    wake: Notify,
    /// Told when a queue's depth is wanted before the next round.
    look_wanted: Notify,
}

/// A stop of a queue's dispatches by this clerk; they go on when it is dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    window: Window,
    queue: QueueName,
}

/// The most jobs of one hand-out.
pub(crate) const CHUNK: u32 = 500;

#[derive(Debug)]
struct Credit {
    left: i64,
    share: i64,
    /// True where new jobs may overtake the scheduler: there is no backlog worth the name.
    direct: bool,
    paused: bool,
    /// The number of [`Stopped`] of it.
    stops: u32,
    consumers: Consumers,
    /// True where its backlog's turn has come.
    turn: bool,
    /// True where the queue has seen traffic since the last look.
    traffic: bool,
    replies: u32,
    looked_at: Instant,
}

impl Credit {
    /// The credit of a queue that was not looked at yet: none.
    fn new(size: i64) -> Self {
        Self {
            left: 0,
            share: size,
            direct: false,
            paused: false,
            stops: 0,
            consumers: Consumers::new(),
            turn: false,
            traffic: true,
            replies: 0,
            looked_at: Instant::now(),
        }
    }

    /// Tells whether there is enough of it for a hand-out that is worth its price.
    fn is_plenty(&self) -> bool {
        self.left >= (self.share / 4).clamp(1, i64::from(CHUNK))
    }

    fn is_busy(&self) -> bool {
        self.traffic || !self.direct || self.left < self.share
    }

    fn is_stopped(&self) -> bool {
        self.paused || self.stops > 0
    }

    /// Tells whether somebody consumes. Where that is not known any more, there is no credit until the look
    /// that is wanted then.
    fn is_served(&mut self) -> bool {
        let served = self.consumers.are_there();
        if !served {
            self.left = 0;
            self.direct = false;
        }
        served
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The queue may have been forgotten meanwhile, and this with it.
        self.window.with_known(&self.queue, |credit| {
            credit.stops = credit.stops.saturating_sub(1);
            credit.turn |= !credit.is_stopped();
        });
        self.window.0.wake.notify_one();
    }
}

impl Window {
    /// A window of `size` jobs per queue.
    pub(crate) fn new(size: u32) -> Self {
        let inner = Inner {
            size: i64::from(size),
            queues: Mutex::default(),
            look: AtomicBool::new(true),
            wake: Notify::new(),
            look_wanted: Notify::new(),
        };
        Self(Arc::new(inner))
    }

    /// Takes a credit for a job that has just come in; without one it waits in the store.
    pub(crate) fn take_direct(&self, queue: &QueueName) -> bool {
        self.with(queue, |credit| {
            credit.traffic = true;
            if credit.is_stopped() || !credit.direct || !credit.is_served() {
                return false;
            }
            if credit.left <= 0 {
                credit.direct = false;
                return false;
            }
            credit.left -= 1;
            true
        })
    }

    /// Takes up to `most` credits for jobs of the backlog.
    pub(crate) fn take(&self, queue: &QueueName, most: u32) -> u32 {
        self.with(queue, |credit| {
            credit.traffic = true;
            if credit.is_stopped() || !credit.is_served() {
                return 0;
            }
            let taken = credit.left.clamp(0, i64::from(most));
            credit.left -= taken;
            u32::try_from(taken).unwrap_or(0)
        })
    }

    /// Gives back credits that were taken and not used.
    pub(crate) fn give_back(&self, queue: &QueueName, credits: u32) {
        self.with(queue, |credit| credit.left += i64::from(credits));
    }

    /// A reply of a job of this queue was recorded. Where a backlog waits, its turn comes once there is
    /// credit for more than a few: a hand-out costs the store about the same for one as for many.
    pub(crate) fn replied(&self, queue: &QueueName) {
        self.give_turn(queue, |credit| {
            credit.left += 1;
            credit.replies += 1;
            credit.traffic = true;
            !credit.direct && credit.is_plenty()
        });
    }

    /// The broker would not take a job of this queue: no credit until the next look.
    pub(crate) fn refused(&self, queue: &QueueName) {
        self.with(queue, |credit| {
            credit.left = 0;
            credit.direct = false;
            credit.traffic = true;
        });
    }

    /// New jobs wait behind the backlog from now on.
    pub(crate) fn behind_backlog(&self, queue: &QueueName) {
        self.with(queue, |credit| {
            credit.consumers.jobs_wait();
            credit.direct = false;
        });
    }

    /// The backlog is gone: new jobs may go out directly again where half the share is free.
    pub(crate) fn no_backlog(&self, queue: &QueueName) {
        self.with(queue, |credit| {
            credit.consumers.no_jobs_wait();
            credit.direct = credit.left * 2 > credit.share;
        });
    }

    /// The backlog is so young that its turn is now: the same holds as if it were gone.
    pub(crate) fn young_backlog(&self, queue: &QueueName) {
        self.with(queue, |credit| {
            credit.consumers.jobs_wait();
            credit.direct = credit.left * 2 > credit.share;
        });
    }

    /// The queues that had traffic since their last look, or whose new jobs wait for more than a consumer.
    pub(crate) fn to_look_at(&self) -> Vec<QueueName> {
        self.names(|credit| credit.is_busy() && !credit.consumers.are_missing())
    }

    /// The queues whose jobs wait for a consumer, where it is time to look for one.
    pub(crate) fn to_look_for_consumers(&self) -> Vec<QueueName> {
        self.names(|credit| !credit.is_stopped() && credit.consumers.are_due())
    }

    /// The queues of which a look is wanted before the next round; each is told once.
    pub(crate) fn wanted_looks(&self) -> Vec<QueueName> {
        let mut queues = self.lock();
        let wanted = queues
            .iter_mut()
            .filter_map(|(name, credit)| credit.consumers.take_wish().then(|| name.clone()));
        wanted.collect()
    }

    /// Waits until a look is wanted before the next round. Cancel safe.
    pub(crate) async fn look_wanted(&self) {
        self.0.look_wanted.notified().await;
    }

    /// The queues that had traffic since their last look, or whose new jobs wait for whatever reason.
    pub(crate) fn busy(&self) -> Vec<QueueName> {
        self.names(Credit::is_busy)
    }

    /// Records that a worker says in a report that it serves this queue.
    pub(crate) fn announced(&self, queue: &QueueName) {
        self.with_known(queue, |credit| credit.consumers.announced());
    }

    /// Records how many workers say in reports that they serve this queue.
    pub(crate) fn reporting(&self, queue: &QueueName, workers: u64) {
        self.with_known(queue, |credit| credit.consumers.report(workers));
    }

    /// Tells whether all consumers of this queue send reports; `None` until it was looked at, which is soon.
    pub(crate) fn all_report(&self, queue: &QueueName) -> Option<bool> {
        self.with(queue, |credit| credit.consumers.all_report())
    }

    /// Stops the dispatches of a queue until what is returned is dropped.
    pub(crate) fn stop(&self, queue: &QueueName) -> Stopped {
        self.with(queue, |credit| {
            credit.stops += 1;
            credit.direct = false;
        });
        Stopped {
            window: self.clone(),
            queue: queue.clone(),
        }
    }

    /// A queue was looked at; `None`: the look failed, so there is no credit. There is none either where
    /// nobody consumes.
    pub(crate) fn looked(&self, queue: &QueueName, depth: Option<Depth>, clerks: usize) {
        let clerks = i64::try_from(clerks.max(1)).unwrap_or(i64::MAX);
        let size = self.0.size;
        self.give_turn(queue, |credit| {
            let served = credit.consumers.saw(depth.map(|depth| depth.consumers));
            let elapsed = i64::try_from(credit.looked_at.elapsed().as_millis()).unwrap_or(i64::MAX);
            let two_seconds = i64::from(credit.replies) * 2_000 / elapsed.max(100) * clerks;
            let window = size.max(two_seconds);
            credit.share = (window + clerks - 1) / clerks;
            credit.left = match depth {
                Some(depth) if depth.consumers > 0 => {
                    let free = window - i64::try_from(depth.ready).unwrap_or(i64::MAX);
                    if free > 0 {
                        (free + clerks - 1) / clerks
                    } else {
                        0
                    }
                }
                Some(_) => {
                    credit.direct = false;
                    0
                }
                None => 0,
            };
            credit.replies = 0;
            credit.traffic = false;
            credit.looked_at = Instant::now();
            if served && !credit.consumers.do_jobs_wait() {
                credit.direct = credit.left * 2 > credit.share;
            }
            credit.left > 0 && !credit.direct
        });
    }

    /// Forgets a queue that was deleted; tells whether jobs of it are known to wait in the store.
    pub(crate) fn forget(&self, queue: &QueueName) -> bool {
        let gone = self.lock().remove(queue);
        gone.is_some_and(|credit| credit.consumers.do_jobs_wait())
    }

    /// Nothing of a paused queue goes out.
    pub(crate) fn pause(&self, queue: &QueueName, paused: bool) {
        self.give_turn(queue, |credit| {
            let resumed = credit.paused && !paused;
            credit.paused = paused;
            if paused {
                credit.direct = false;
            }
            resumed
        });
    }

    /// Tells whether nothing of it goes out.
    pub(crate) fn is_paused(&self, queue: &QueueName) -> bool {
        self.with(queue, |credit| credit.paused)
    }

    /// There is something in this queue's backlog: its turn has come if there is credit for more than a
    /// few, or any where new jobs go out directly. Else new credits will give the turn, or the next look.
    pub(crate) fn waiting(&self, queue: &QueueName) {
        self.give_turn(queue, |credit| {
            credit.consumers.jobs_wait();
            credit.is_plenty() || credit.direct && credit.left > 0
        });
    }

    /// There may be something in any queue's backlog.
    pub(crate) fn wake(&self) {
        self.0.look.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// Tells whether all backlogs want a look; told once.
    pub(crate) fn wants_look(&self) -> bool {
        self.0.look.swap(false, Ordering::Relaxed)
    }

    /// The queues whose backlog's turn has come; each is told once.
    pub(crate) fn turns(&self) -> Vec<QueueName> {
        let mut queues = self.lock();
        let turns = queues
            .iter_mut()
            .filter_map(|(name, credit)| std::mem::take(&mut credit.turn).then(|| name.clone()));
        turns.collect()
    }

    fn give_turn(&self, queue: &QueueName, act: impl FnOnce(&mut Credit) -> bool) {
        let wakes = self.with(queue, |credit| {
            let turn = act(credit) && !credit.is_stopped();
            credit.turn |= turn;
            turn
        });
        if wakes {
            self.0.wake.notify_one();
        }
    }

    /// Waits until the backlog may be worth a look. Cancel safe.
    pub(crate) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    fn with<T>(&self, queue: &QueueName, act: impl FnOnce(&mut Credit) -> T) -> T {
        if let Some(credit) = self.lock().get_mut(queue) {
            return self.act(credit, act);
        }
        let mut queues = self.lock();
        let credit = queues.entry(queue.clone());
        self.act(credit.or_insert_with(|| Credit::new(self.0.size)), act)
    }

    fn with_known(&self, queue: &QueueName, act: impl FnOnce(&mut Credit)) {
        if let Some(credit) = self.lock().get_mut(queue) {
            self.act(credit, act);
        }
    }

    fn act<T>(&self, credit: &mut Credit, act: impl FnOnce(&mut Credit) -> T) -> T {
        let result = act(credit);
        if credit.consumers.is_look_wanted() {
            self.0.look_wanted.notify_one();
        }
        result
    }

    fn names(&self, which: impl Fn(&Credit) -> bool) -> Vec<QueueName> {
        let queues = self.lock();
        let names = queues.iter().filter(|(_, credit)| which(credit));
        names.map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueName, Credit>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
