//! Whether the store and the broker answer, and since when we hear well enough to act on silence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clerkwork_broker::Status;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the clerk knows of its own state.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broker: watch::Receiver<Status>,
    draining: CancellationToken,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    store_up: bool,
    last_beat: Option<Instant>,
    beats_on_time_since: Option<Instant>,
    reports_since: Option<Instant>,
}

impl Health {
    pub(crate) fn new(broker: watch::Receiver<Status>, draining: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            broker,
            draining,
            known: Mutex::default(),
        }))
    }

    /// `up` or `down`.
    #[must_use]
    pub fn store(&self) -> &'static str {
        if self.known().store_up { "up" } else { "down" }
    }

    /// `up`, `blocked` or `down`.
    #[must_use]
    pub fn broker(&self) -> &'static str {
        match *self.0.broker.borrow() {
            Status::Up => "up",
            Status::Blocked => "blocked",
            Status::Down(_) => "down",
        }
    }

    /// Whether the clerk can accept jobs: the store answers, and it does not drain.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.known().store_up && !self.0.draining.is_cancelled()
    }

    /// Whether publishing is possible now.
    pub(crate) fn can_publish(&self) -> bool {
        *self.0.broker.borrow() == Status::Up
    }

    /// A heartbeat was written; `late` is the silence after which it no longer counts as on time.
    pub(crate) fn beat(&self, late: Duration) {
        let now = Instant::now();
        let mut known = self.known();
        let on_time = known
            .last_beat
            .is_some_and(|last| now.duration_since(last) <= late);
        if !on_time {
            known.beats_on_time_since = Some(now);
        }
        known.last_beat = Some(now);
        known.store_up = true;
    }

    /// The store did not answer.
    pub(crate) fn store_failed(&self) {
        let mut known = self.known();
        known.store_up = false;
        known.beats_on_time_since = None;
        known.last_beat = None;
    }

    /// Whether reports reach us.
    pub(crate) fn reports(&self, heard: bool) {
        let mut known = self.known();
        if !heard {
            known.reports_since = None;
        } else if known.reports_since.is_none() {
            known.reports_since = Some(Instant::now());
        }
    }

    /// Whether our heartbeats were all on time for this long: only then may we act on a clerk's
    /// silence.
    pub(crate) fn beats_for(&self, span: Duration) -> bool {
        self.known()
            .beats_on_time_since
            .is_some_and(|since| since.elapsed() >= span)
    }

    /// Whether, beside that, reports reached us for this long: only then may we act on a worker's.
    pub(crate) fn hears_for(&self, span: Duration) -> bool {
        self.beats_for(span)
            && self
                .known()
                .reports_since
                .is_some_and(|since| since.elapsed() >= span)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
