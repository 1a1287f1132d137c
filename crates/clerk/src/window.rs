//! Credits: how many more jobs of each queue may go to the broker.
//!
//! The store is the backlog, the broker a short conveyor. About a window's worth of a queue's jobs
//! are on the broker unstarted; the rest wait in the store, where cancel, pause, purge and expiry are
//! exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clerkwork_core::QueueName;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The credits of all queues.
#[derive(Clone, Debug)]
pub(crate) struct Window(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size: i64,
    queues: Mutex<BTreeMap<QueueName, Credit>>,
    /// Whether any queue may have a backlog that nobody knows of.
    look: AtomicBool,
    wake: Notify,
}

/// The most jobs of one hand-out.
pub(crate) const CHUNK: u32 = 500;

#[derive(Debug)]
struct Credit {
    left: i64,
    share: i64,
    /// Whether new jobs may overtake the scheduler: there is no backlog worth the name.
    direct: bool,
    paused: bool,
    /// Whether its backlog's turn has come.
    turn: bool,
    /// Whether the queue has seen traffic since the last look.
    traffic: bool,
    replies: u32,
    looked_at: Instant,
}

impl Credit {
    /// Whether there is enough of it for a hand-out that is worth its price.
    fn is_plenty(&self) -> bool {
        self.left >= (self.share / 4).clamp(1, i64::from(CHUNK))
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
        };
        Self(Arc::new(inner))
    }

    /// Takes a credit for a job that has just come in; without one it waits in the store.
    pub(crate) fn take_direct(&self, queue: &QueueName) -> bool {
        self.with(queue, |credit| {
            credit.traffic = true;
            if credit.paused || !credit.direct {
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
            if credit.paused {
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
        self.with(queue, |credit| credit.direct = false);
    }

    /// The backlog is gone, or so young that its turn is now: new jobs may go out directly again
    /// where half the share is free.
    pub(crate) fn no_backlog(&self, queue: &QueueName) {
        self.with(queue, |credit| {
            credit.direct = credit.left * 2 > credit.share
        });
    }

    /// The queues that had traffic since their last look, or whose new jobs wait.
    pub(crate) fn to_look_at(&self) -> Vec<QueueName> {
        let queues = self.lock();
        let due = |credit: &Credit| credit.traffic || !credit.direct || credit.left < credit.share;
        queues
            .iter()
            .filter(|(_, credit)| due(credit))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The depth of a queue was seen; `None`: the look failed, so there is no credit.
    pub(crate) fn looked(&self, queue: &QueueName, depth: Option<u64>, clerks: usize) {
        let clerks = i64::try_from(clerks.max(1)).unwrap_or(i64::MAX);
        let size = self.0.size;
        self.give_turn(queue, |credit| {
            let elapsed = i64::try_from(credit.looked_at.elapsed().as_millis()).unwrap_or(i64::MAX);
            let two_seconds = i64::from(credit.replies) * 2_000 / elapsed.max(100) * clerks;
            let window = size.max(two_seconds);
            credit.share = (window + clerks - 1) / clerks;
            credit.left = match depth {
                Some(depth) => {
                    let free = window - i64::try_from(depth).unwrap_or(i64::MAX);
                    if free > 0 {
                        (free + clerks - 1) / clerks
                    } else {
                        0
                    }
                }
                None => 0,
            };
            credit.replies = 0;
            credit.traffic = false;
            credit.looked_at = Instant::now();
            credit.left > 0 && !credit.direct
        });
    }

    /// The queue was deleted.
    pub(crate) fn forget(&self, queue: &QueueName) {
        self.lock().remove(queue);
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

    /// Whether nothing of it goes out.
    pub(crate) fn is_paused(&self, queue: &QueueName) -> bool {
        self.with(queue, |credit| credit.paused)
    }

    /// There is something in this queue's backlog: its turn has come if there is credit for more than a
    /// few, or any where new jobs go out directly. Else new credits will give the turn, or the next look.
    pub(crate) fn waiting(&self, queue: &QueueName) {
        self.give_turn(queue, |credit| {
            credit.is_plenty() || credit.direct && credit.left > 0
        });
    }

    /// There may be something in any queue's backlog.
    pub(crate) fn wake(&self) {
        self.0.look.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// Whether all backlogs want a look; told once.
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
            let turn = act(credit) && !credit.paused;
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
        let mut queues = self.lock();
        if let Some(credit) = queues.get_mut(queue) {
            return act(credit);
        }
        // A queue that was not looked at yet gives one full share.
        let size = self.0.size;
        act(queues.entry(queue.clone()).or_insert_with(|| Credit {
            left: size,
            share: size,
            direct: true,
            paused: false,
            turn: false,
            traffic: true,
            replies: 0,
            looked_at: Instant::now(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueName, Credit>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        "q".parse().unwrap()
    }

    #[test]
    fn a_window_of_one_lets_one_job_out_until_it_is_answered() {
        let window = Window::new(1);
        assert!(window.take_direct(&queue()));
        assert!(!window.take_direct(&queue()));
        window.replied(&queue());
        assert!(!window.take_direct(&queue()), "the backlog goes first");
        assert_eq!(window.take(&queue(), 500), 1);
        window.replied(&queue());
        window.no_backlog(&queue());
        assert!(window.take_direct(&queue()));
    }

    #[test]
    fn clerks_share_what_is_free_rounded_up() {
        let window = Window::new(10);
        window.looked(&queue(), Some(3), 2);
        assert_eq!(window.take(&queue(), 100), 4);
        window.looked(&queue(), Some(10), 2);
        assert_eq!(window.take(&queue(), 100), 0);
        window.looked(&queue(), None, 2);
        assert_eq!(window.take(&queue(), 100), 0);
    }

    #[test]
    fn a_backlogs_turn_comes_with_credit_for_more_than_a_few() {
        let window = Window::new(8);
        window.waiting(&queue());
        assert_eq!(window.turns(), [queue()], "all credit is there");
        assert!(window.turns().is_empty(), "each turn is told once");
        window.behind_backlog(&queue());
        assert_eq!(window.take(&queue(), 8), 8);
        window.replied(&queue());
        window.waiting(&queue());
        assert!(window.turns().is_empty(), "1 of 8 is not worth a hand-out");
        window.replied(&queue());
        assert_eq!(window.turns(), [queue()]);
    }

    #[test]
    fn a_paused_queue_gives_nothing() {
        let window = Window::new(10);
        window.pause(&queue(), true);
        assert!(!window.take_direct(&queue()));
        assert_eq!(window.take(&queue(), 5), 0);
        assert!(window.turns().is_empty());
        window.pause(&queue(), false);
        assert_eq!(window.turns(), [queue()]);
        assert_eq!(window.take(&queue(), 5), 5);
    }
}
