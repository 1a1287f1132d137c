//! The consumers of one queue as far as they are known, and when to look for them again.
//!
//! A job is dispatched only where somebody consumes. Without consumers it stays in the store, where
//! expiry, cancel and purge are exact.

use std::time::Duration;

use tokio::time::Instant;

/// The age up to which a look proves consumers where no worker reports that it serves the queue.
const FRESH: Duration = Duration::from_secs(15);
/// The time for which a queue whose jobs wait for a consumer is looked at in every round.
const OFTEN: Duration = Duration::from_secs(60);
/// The pause between its looks after that.
const SELDOM: Duration = Duration::from_secs(15);
/// The pause between a look and the next one that need not wait for a round.
const PAUSE: Duration = Duration::from_millis(200);

/// The consumers of one queue.
#[derive(Debug)]
pub(super) struct Consumers {
    presence: Presence,
    count: u64,
    /// Workers that say in reports that they serve the queue.
    reporting: u64,
    /// The last look, whatever came of it.
    tried_at: Option<Instant>,
    /// The last look that was answered.
    seen_at: Option<Instant>,
    /// Since when jobs wait in the store.
    waiting_since: Option<Instant>,
    /// A look is wanted before the next round.
    wanted: bool,
}

/// The result of the last look that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// There was none yet, or it is too old.
    Unknown,
    Some,
    None,
}

impl Consumers {
    pub(super) fn new() -> Self {
        Self {
            presence: Presence::Unknown,
            count: 0,
            reporting: 0,
            tried_at: None,
            seen_at: None,
            waiting_since: None,
            wanted: false,
        }
    }

    /// Tells whether jobs may be dispatched to them. Where that is not known any more, a look is wanted.
    pub(super) fn are_there(&mut self) -> bool {
        if self.presence == Presence::Some && self.reporting == 0 && !self.is_fresh() {
            self.presence = Presence::Unknown;
        }
        if self.presence == Presence::Unknown {
            self.want();
        }
        self.presence == Presence::Some
    }

    /// Tells whether the last answered look saw none.
    pub(super) fn are_missing(&self) -> bool {
        self.presence == Presence::None
    }

    /// Tells whether all of them send reports; `None` where a look must tell first, which is wanted then.
    pub(super) fn all_report(&mut self) -> Option<bool> {
        if !self.is_fresh() {
            self.want();
            return None;
        }
        Some(self.count <= self.reporting)
    }

    /// Records a look; `None`: it failed, which says nothing about consumers. Tells whether there are some
    /// now that were not known before.
    pub(super) fn saw(&mut self, count: Option<u64>) -> bool {
        let now = Instant::now();
        self.tried_at = Some(now);
        let Some(count) = count else { return false };
        self.seen_at = Some(now);
        self.count = count;
        let before = self.presence;
        self.presence = if count > 0 {
            Presence::Some
        } else {
            Presence::None
        };
        if count == 0 && before == Presence::Some {
            self.waiting_since = self.waiting_since.map(|_| now);
            // A worker that changes its prefetch is gone for a moment.
            self.wanted = true;
        }
        count > 0 && before != Presence::Some
    }

    /// Tells whether jobs are known to wait in the store.
    pub(super) fn do_jobs_wait(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Records that jobs wait in the store.
    pub(super) fn jobs_wait(&mut self) {
        let first = self.waiting_since.is_none();
        self.waiting_since.get_or_insert_with(Instant::now);
        if self.presence == Presence::None && first {
            self.want();
        }
        self.are_there();
    }

    /// Records that no job waits in the store.
    pub(super) fn no_jobs_wait(&mut self) {
        self.waiting_since = None;
    }

    /// Records that a worker says it serves the queue.
    pub(super) fn announced(&mut self) {
        if self.presence != Presence::Some {
            // It may begin to consume a moment later.
            self.waiting_since = self.waiting_since.map(|_| Instant::now());
            self.want();
        }
    }

    /// Records how many workers say in reports that they serve the queue.
    pub(super) fn report(&mut self, reporting: u64) {
        if reporting > self.reporting {
            self.announced();
        }
        self.reporting = reporting;
    }

    /// Tells whether jobs wait for a consumer and it is time to look for one.
    pub(super) fn are_due(&self) -> bool {
        let Some(since) = self.waiting_since.filter(|_| self.are_missing()) else {
            return false;
        };
        let seldom = since.elapsed() >= OFTEN;
        !seldom || self.tried_at.is_none_or(|at| at.elapsed() >= SELDOM)
    }

    /// Tells whether a look is wanted before the next round.
    pub(super) fn is_look_wanted(&self) -> bool {
        self.wanted
    }

    /// Takes the wish for a look.
    pub(super) fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.wanted)
    }

    /// Wants a look, unless there has just been one: the next round follows soon.
    fn want(&mut self) {
        self.wanted |= self.tried_at.is_none_or(|at| at.elapsed() >= PAUSE);
    }

    fn is_fresh(&self) -> bool {
        self.seen_at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_unseen_queue_wants_one_look_at_its_first_job() {
        let mut consumers = Consumers::new();
        assert!(!consumers.is_look_wanted());
        assert!(!consumers.are_there());
        assert!(consumers.take_wish());
        consumers.saw(Some(1));
        assert!(consumers.are_there() && !consumers.is_look_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_look_does_not_mean_that_there_are_no_consumers() {
        let mut consumers = Consumers::new();
        consumers.saw(Some(1));
        consumers.saw(None);
        assert!(consumers.are_there());
        let mut consumers = Consumers::new();
        consumers.saw(None);
        assert!(!consumers.are_missing() && !consumers.are_there());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_consumer_is_looked_at_often_for_a_minute_then_seldom() {
        let mut consumers = Consumers::new();
        consumers.saw(Some(0));
        assert!(!consumers.are_due(), "no job waits");
        consumers.jobs_wait();
        let mut looks = Vec::new();
        for second in 0..120 {
            if consumers.are_due() {
                looks.push(second);
                consumers.saw(Some(0));
            }
            advance(SECOND).await;
        }
        let often: Vec<u32> = (0..60).collect();
        assert_eq!(looks[..60], often);
        assert_eq!(looks[60..], [74, 89, 104, 119]);
        advance(SECOND * 15).await;
        consumers.announced();
        assert!(consumers.take_wish(), "a worker's report wakes it");
        consumers.saw(Some(0));
        advance(SECOND).await;
        assert!(consumers.are_due(), "and begins the minute anew");
        consumers.no_jobs_wait();
        assert!(!consumers.are_due());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_look_proves_consumers_only_where_workers_report() {
        let mut consumers = Consumers::new();
        consumers.saw(Some(1));
        advance(FRESH).await;
        assert!(!consumers.are_there() && consumers.take_wish());
        consumers.saw(Some(1));
        consumers.report(1);
        advance(FRESH * 10).await;
        assert!(consumers.are_there());
        assert_eq!(consumers.all_report(), None);
        consumers.saw(Some(1));
        assert_eq!(consumers.all_report(), Some(true));
        consumers.saw(Some(2));
        assert_eq!(consumers.all_report(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn consumers_that_are_gone_are_looked_for_once_more_at_once() {
        let mut consumers = Consumers::new();
        consumers.saw(Some(1));
        consumers.saw(Some(0));
        assert!(consumers.are_missing() && consumers.take_wish());
        consumers.saw(Some(0));
        assert!(consumers.are_missing() && !consumers.take_wish());
    }
}
