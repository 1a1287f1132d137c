//! What all of a run share: its time, its history, its trace, and what the nodes have to bear.

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clerkwork_checker::{History, What};
use clerkwork_core::Clock as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::time::Wall;
use crate::trace::Trace;

/// What all of a run share.
#[derive(Debug)]
pub(crate) struct World {
    /// When it began.
    pub(crate) begun: Instant,
    /// The true time, which is the database's.
    pub(crate) wall: Arc<Wall>,
    history: Mutex<History>,
    trace: Mutex<Trace>,
    numbers: AtomicU64,
    /// How often a run of each submission has failed as it was told to.
    failures: Mutex<BTreeMap<String, u32>>,
    /// What is broken that no history shows.
    faults: Mutex<Vec<String>>,
}

impl World {
    /// Begins a run now; with `keep` its trace is kept in words.
    pub(crate) fn begin(keep: bool) -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self {
            begun,
            wall: Wall::new(begun),
            history: Mutex::default(),
            trace: Mutex::new(Trace::new(keep)),
            numbers: AtomicU64::new(0),
            failures: Mutex::default(),
            faults: Mutex::default(),
        })
    }

    /// The true time.
    pub(crate) fn now(&self) -> i64 {
        self.wall.now().0
    }

    /// A number that was not given before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes into the history, and the trace.
    pub(crate) fn saw(&self, what: What) {
        self.note(format_args!("{what:?}"));
        self.history().push(what.at(self.now()));
    }

    /// Writes into the trace.
    pub(crate) fn note(&self, words: Arguments<'_>) {
        lock(&self.trace).note(self.now(), words);
    }

    /// Something is wrong for certain, whatever the history says.
    pub(crate) fn wrong(&self, words: String) {
        self.note(format_args!("{words}"));
        lock(&self.faults).push(words);
    }

    /// Whether this run of a submission fails, of which so many shall.
    pub(crate) fn fails(&self, token: &str, most: u32) -> bool {
        let mut failures = lock(&self.failures);
        let failed = failures.entry(token.to_owned()).or_default();
        let fails = *failed < most;
        *failed += u32::from(fails);
        fails
    }

    /// The history so far.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// What is wrong for certain.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    /// The trace so far.
    pub(crate) fn trace(&self) -> Trace {
        lock(&self.trace).clone()
    }
}

/// One life of a node, from its start to its crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life(CancellationToken);

impl Life {
    /// The node crashes.
    pub(crate) fn end(&self) {
        self.0.cancel();
    }

    /// Whether it has crashed.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the crash.
    pub(crate) async fn ended(&self) {
        self.0.cancelled().await;
    }

    /// Goes on only if the node lives: what is left of the tasks of a dead one does nothing any more.
    pub(crate) async fn go_on(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a node has to bear; the hand that injects faults changes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// How many calls of the store fail before anything is done.
    pub(crate) store_refuses: f64,
    /// How many are done and not answered.
    pub(crate) store_unanswered: f64,
    /// Whether the store cannot be reached at all.
    pub(crate) store_away: bool,
    /// How many publishes the broker refuses.
    pub(crate) refused: f64,
    /// How many publishes end with their connection.
    pub(crate) cut: f64,
    /// How many acknowledgements are lost with their connection.
    pub(crate) acks_lost: f64,
    /// How many hints are lost.
    pub(crate) hints_lost: f64,
    /// How many hints come twice.
    pub(crate) hints_doubled: f64,
    /// How many publishes and hints take long.
    pub(crate) slow: f64,
}

/// The weather of one node.
#[derive(Debug, Default)]
pub(crate) struct Sky(Mutex<Weather>);

impl Sky {
    /// How it is.
    pub(crate) fn now(&self) -> Weather {
        *lock(&self.0)
    }

    /// Changes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.0));
    }
}

/// What the lock guards is whole at every point.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
