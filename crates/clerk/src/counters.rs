//! What was counted and dropped: replies that nobody may record, and events that nobody can show.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what was dropped since the last time it was told.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Replies without a good MAC, or that could not be read.
    pub(crate) forged: AtomicU64,
    /// Good replies for final jobs, superseded attempts or forgotten jobs.
    pub(crate) late: AtomicU64,
    /// Good replies whose output cannot be kept.
    pub(crate) unfit: AtomicU64,
    /// Packs that were broken in the middle.
    pub(crate) broken: AtomicU64,
    /// Replies put aside for the operator.
    pub(crate) aside: AtomicU64,
    /// Live events of no attempt of ours, or that could not be read.
    pub(crate) events: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs what was counted since the last time, if anything was: one line however many there are.
    pub(crate) fn tell(&self) {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let (forged, late, unfit) = (take(&self.forged), take(&self.late), take(&self.unfit));
        let (broken, aside) = (take(&self.broken), take(&self.aside));
        if forged + late + unfit + broken + aside > 0 {
            tracing::warn!(forged, late, unfit, broken, aside, "replies were dropped");
        }
        let events = take(&self.events);
        if events > 0 {
            tracing::warn!(events, "live events were dropped");
        }
    }
}

/// Whoever counts is gone by then, so the last line misses nothing.
impl Drop for Counters {
    fn drop(&mut self) {
        self.tell();
    }
}
