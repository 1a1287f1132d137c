//! The state of the store and the broker, and the time since which we hear well enough to act on silence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_broker::Status;
use clerkwork_faults::{Defect, has};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The state of this clerk, as it knows it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broker: watch::Receiver<Status>,
    draining: CancellationToken,
    limits: Limits,
    known: Mutex<Known>,
}

/// The ages at which the last of something proves nothing any more.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Of a heartbeat that is on time.
    beat: Duration,
    /// Of an answer of the store.
    store: Duration,
    /// Of a message that came round through the broker: well within a lease.
    round: Duration,
    /// Of reports that a late peer may have kept to itself: they come again within this.
    lease: Duration,
    /// Of reports that were taken and are not heeded.
    heeded: Duration,
}

#[derive(Debug, Default)]
struct Known {
    store_up: bool,
    store_answered_at: Option<Instant>,
    /// The time at which a message to ourselves last came round through the broker.
    came_round_at: Option<Instant>,
    last_beat: Option<Instant>,
    beats_on_time_since: Option<Instant>,
    /// Tells that reports are consumed.
    reports: bool,
    /// The time since which reports may wait to be heeded.
    heeding_since: Option<Instant>,
    /// The time since which the broker does not answer for its queues, though all looks well.
    looks_fail_since: Option<Instant>,
    /// The time since which reports are consumed and the broker takes publishes, as far as they tell.
    linked_since: Option<Instant>,
    heard_since: Option<Instant>,
    /// The time since which every other clerk was on time.
    peers_on_time_since: Option<Instant>,
    /// Until then a clerk that was late may have kept reports to itself.
    peers_quiet_until: Option<Instant>,
}

impl Health {
    pub(crate) fn new(
        broker: watch::Receiver<Status>,
        draining: CancellationToken,
        config: &Config,
    ) -> Self {
        let second = Duration::from_secs(1);
        let limits = Limits {
            beat: config.heartbeat * 2 + second / 2,
            store: config.heartbeat * 15 + second * 5,
            round: (config.lease / 3).clamp(second * 5, second * 10),
            lease: config.lease,
            heeded: config.lease / 2,
        };
        Self(Arc::new(Inner {
            broker,
            draining,
            limits,
            known: Mutex::default(),
        }))
    }

    /// `up` or `down`.
    #[must_use]
    pub fn store(&self) -> &'static str {
        let known = self.known();
        if known.store_answers(self.0.limits) {
            "up"
        } else {
            "down"
        }
    }

    /// `up`, `blocked` or `down`.
    #[must_use]
    pub fn broker(&self) -> &'static str {
        let known = self.known();
        let proved = !known.is_stale(self.0.limits) && known.can_dispatch(self.0.limits);
        match *self.0.broker.borrow() {
            Status::Up if !proved => "down",
            Status::Up => "up",
            Status::Blocked => "blocked",
            Status::Down(_) => "down",
        }
    }

    /// The time since the store last answered.
    #[must_use]
    pub fn store_answered(&self) -> Option<Duration> {
        self.known().store_answered_at.map(|at| at.elapsed())
    }

    /// The time since a message to ourselves last came round through the broker.
    #[must_use]
    pub fn came_round(&self) -> Option<Duration> {
        self.known().came_round_at.map(|at| at.elapsed())
    }

    /// Tells whether the clerk can accept jobs: the store answers, and it does not drain.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.known().store_answers(self.0.limits) && !self.0.draining.is_cancelled()
    }

    /// Tells whether publishing is possible now.
    pub(crate) fn can_publish(&self) -> bool {
        *self.0.broker.borrow() == Status::Up
    }

    /// A heartbeat was written.
    pub(crate) fn beat(&self) {
        let now = Instant::now();
        let mut known = self.known();
        if !known.is_on_time(now, self.0.limits) {
            known.beats_on_time_since = Some(now);
        }
        known.last_beat = Some(now);
        known.store_has_answered(now);
    }

    /// The store's time was so far from what we took it for. If it jumped, or this machine slept, all
    /// silence looks longer than it was: what was heard before tells nothing of it.
    pub(crate) fn time_moved(&self, far: Duration) {
        if far <= self.0.limits.beat {
            return;
        }
        tracing::warn!(
            ?far,
            "the store's time is not what it seemed: silence is measured anew"
        );
        let mut known = self.known();
        known.beats_on_time_since = None;
        known.last_beat = None;
        known.heard_since = None;
        known.peers_on_time_since = None;
    }

    /// The store answered, but no heartbeat was written.
    pub(crate) fn store_is_there(&self) {
        self.known().store_has_answered(Instant::now());
    }

    /// The store did not answer.
    pub(crate) fn store_failed(&self) {
        let mut known = self.known();
        known.store_up = false;
        known.beats_on_time_since = None;
        known.last_beat = None;
    }

    /// A message to ourselves came round through the broker.
    pub(crate) fn round(&self) {
        self.known().came_round_at = Some(Instant::now());
    }

    /// Notes whether reports are consumed.
    pub(crate) fn reports(&self, heard: bool) {
        self.known().reports = heard;
        self.hears();
    }

    /// Reports were lost here: what they would have said was not heard.
    pub(crate) fn reports_lost(&self) {
        self.known().heard_since = None;
        self.hears();
    }

    /// Reports were taken; whether that were all that had come.
    pub(crate) fn reports_taken(&self, all: bool) {
        let mut known = self.known();
        if all || known.heeding_since.is_none() {
            known.heeding_since = Some(Instant::now());
        }
    }

    /// The reports that were taken are heeded. If that took long, those that came meanwhile are old.
    pub(crate) fn reports_heeded(&self, all: bool) {
        let mut known = self.known();
        if known.is_behind(self.0.limits) {
            known.heard_since = None;
        }
        if all {
            known.heeding_since = None;
        }
    }

    /// No more reports wait: those that come from now on are new. The last may have been a full batch by chance, which
    /// is not late for that.
    pub(crate) fn reports_awaited(&self) {
        self.known().heeding_since = None;
    }

    /// The broker was asked about its queues; whether it answered. `None` while it is not there.
    pub(crate) fn looked(&self, answered: Option<bool>) {
        let mut known = self.known();
        match (answered, known.looks_fail_since) {
            (Some(false), None) => known.looks_fail_since = Some(Instant::now()),
            (Some(true), Some(since)) => {
                if since.elapsed() > self.0.limits.round {
                    tracing::info!("the broker answers for its queues: jobs are dispatched again");
                }
                known.looks_fail_since = None;
            }
            (None, _) => known.looks_fail_since = None,
            _ => {}
        }
    }

    /// Tells whether we hear now. A broker that takes no publishes keeps workers from reporting, too.
    pub(crate) fn hears(&self) -> bool {
        let up = self.can_publish();
        let (now, mut known) = (Instant::now(), self.known());
        let linked = known.reports && up;
        known.linked_since = linked.then(|| known.linked_since.unwrap_or(now));
        let limits = self.0.limits;
        let hears = linked && !known.is_stale(limits) && !known.is_behind(limits);
        match (hears, known.heard_since) {
            (true, None) => {
                tracing::info!("workers' reports are heard");
                known.heard_since = Some(now);
            }
            (false, Some(_)) => {
                tracing::warn!(
                    "workers' reports are not heard: the heartbeat stops until they are"
                );
                known.heard_since = None;
            }
            _ => {}
        }
        hears
    }

    /// Notes whether every other clerk was heard lately. One that was not may have taken reports that nobody
    /// has seen.
    pub(crate) fn peers(&self, on_time: bool) {
        let now = Instant::now();
        let mut known = self.known();
        if on_time {
            known.peers_on_time_since.get_or_insert(now);
        } else {
            known.peers_on_time_since = None;
            known.peers_quiet_until = Some(now + self.0.limits.lease);
        }
    }

    /// Tells whether our heartbeats were all on time for this long: only then may we act on a clerk's
    /// silence.
    pub(crate) fn beats_for(&self, span: Duration) -> bool {
        self.known().beats_for(span, self.0.limits)
    }

    /// Tells whether, beside that, reports reached us and no other clerk was late for this long, nor any
    /// within the last lease: only then may we act on a worker's.
    pub(crate) fn hears_for(&self, span: Duration) -> bool {
        let hears = self.hears();
        let known = self.known();
        let for_long = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= span);
        let quiet = known
            .peers_quiet_until
            .is_some_and(|until| Instant::now() < until);
        let hears = hears
            && !quiet
            && known.beats_for(span, self.0.limits)
            && for_long(known.heard_since)
            && for_long(known.peers_on_time_since);
        hears || has(Defect::LeaseInOutage)
    }

    /// Tells the same of a lease: whoever sends reports would have been heard meanwhile.
    pub(crate) fn hears_for_a_lease(&self) -> bool {
        self.hears_for(self.0.limits.lease)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn store_has_answered(&mut self, now: Instant) {
        self.store_up = true;
        self.store_answered_at = Some(now);
    }

    fn store_answers(&self, limits: Limits) -> bool {
        let at = self.store_answered_at;
        self.store_up && at.is_some_and(|at| at.elapsed() <= limits.store)
    }

    /// Tells whether messages to ourselves have stopped to come round, though all looks well.
    fn is_stale(&self, limits: Limits) -> bool {
        let proved = self.linked_since.max(self.came_round_at);
        self.linked_since.is_some() && proved.is_some_and(|at| at.elapsed() > limits.round)
    }

    /// Tells whether reports that have come are not heeded for long: what their workers said is not known.
    fn is_behind(&self, limits: Limits) -> bool {
        self.heeding_since
            .is_some_and(|since| since.elapsed() > limits.heeded)
    }

    /// Tells whether queues can be looked at, without which nothing is dispatched to them.
    fn can_dispatch(&self, limits: Limits) -> bool {
        self.looks_fail_since
            .is_none_or(|since| since.elapsed() <= limits.round)
    }

    fn is_on_time(&self, now: Instant, limits: Limits) -> bool {
        self.last_beat
            .is_some_and(|last| now.duration_since(last) <= limits.beat)
    }

    /// Also the next one must not be late yet: whoever was frozen has not noticed otherwise.
    fn beats_for(&self, span: Duration, limits: Limits) -> bool {
        let now = Instant::now();
        let since = self.beats_on_time_since;
        self.is_on_time(now, limits) && since.is_some_and(|since| now.duration_since(since) >= span)
    }
}

#[cfg(test)]
mod tests;
