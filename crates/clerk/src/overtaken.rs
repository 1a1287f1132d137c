//! Dispatches that were lost without a sign: a purge at the broker is told to nobody.
//!
//! A dispatch that no report has listed is lost if its queue was empty for a long time, or if one that
//! was made much later has come through. Neither proves anything where workers consume that send no
//! reports: one of them may have it in hand for as long as the job may run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{Job, QueueName, UnixMs};
use tokio::time::Instant;

/// The longest margin, however often a job was doubted.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What was seen of queues; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Overtaken(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    margin: Duration,
    queues: Mutex<BTreeMap<QueueName, Seen>>,
}

/// One look at a queue on the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Jobs that wait there.
    pub(crate) ready: u64,
    /// Who consumes there.
    pub(crate) consumers: u64,
    /// The workers that say in reports that they serve it.
    pub(crate) reporting: u64,
}

#[derive(Debug)]
struct Seen {
    /// When something was last done with it.
    active_at: Instant,
    looked_at: Option<Instant>,
    /// Since when every look saw it empty.
    empty_since: Option<Instant>,
    /// Since when every look saw only consumers that send reports.
    reported_since: Option<Instant>,
    /// When the youngest dispatch was made that was started or answered.
    came_through: UnixMs,
}

impl Overtaken {
    /// `margin` is how long a dispatch may go unseen the first time.
    pub(crate) fn new(margin: Duration) -> Self {
        Self(Arc::new(Inner {
            margin,
            queues: Mutex::default(),
        }))
    }

    /// The time that this job's dispatch may go unseen: twice as long after each doubt but the first.
    pub(crate) fn margin(&self, job: &Job) -> Duration {
        let repeated = job.standing.doubts.saturating_sub(1);
        let doubled = 1_u32.checked_shl(repeated).unwrap_or(u32::MAX);
        self.0.margin.saturating_mul(doubled).min(LONGEST)
    }

    /// The queues to look at: those that are `busy`, and those that were until a margin ago, which may
    /// hold what is checked then.
    pub(crate) fn to_look_at(&self, busy: &[QueueName]) -> Vec<QueueName> {
        for queue in busy {
            self.with(queue, |seen| seen.active_at = Instant::now());
        }
        let recent = self.0.margin + self.gap() * 2;
        let queues = self.lock();
        let due = queues
            .iter()
            .filter(|(_, seen)| seen.active_at.elapsed() <= recent);
        due.map(|(queue, _)| queue.clone()).collect()
    }

    /// A queue was looked at.
    pub(crate) fn saw(&self, queue: &QueueName, look: Look) {
        let (now, gap) = (Instant::now(), self.gap());
        self.with(queue, |seen| {
            if seen.looked_at.is_none_or(|at| now - at > gap) {
                (seen.empty_since, seen.reported_since) = (None, None);
            }
            seen.looked_at = Some(now);
            let since = |known: Option<Instant>, holds: bool| holds.then(|| known.unwrap_or(now));
            seen.empty_since = since(seen.empty_since, look.ready == 0);
            let all_report = look.consumers <= look.reporting;
            seen.reported_since = since(seen.reported_since, all_report);
        });
    }

    /// A queue could not be looked at, or is paused: what was seen before proves nothing any more.
    pub(crate) fn lost_sight(&self, queue: &QueueName) {
        self.with(queue, |seen| seen.looked_at = None);
    }

    /// The same of all queues: the connection is another one, or takes no publishes.
    pub(crate) fn lost_sight_of_all(&self) {
        self.lock()
            .values_mut()
            .for_each(|seen| seen.looked_at = None);
    }

    /// Dispatches of these queues, made then, were started or answered.
    pub(crate) fn came_through<'q>(
        &self,
        dispatches: impl IntoIterator<Item = (&'q QueueName, UnixMs)>,
    ) {
        let mut queues = self.lock();
        for (queue, at) in dispatches {
            let seen = seen(&mut queues, queue);
            seen.came_through = seen.came_through.max(at);
        }
    }

    /// Whether the dispatch of a job that no report has listed is lost.
    pub(crate) fn is_lost(&self, job: &Job, now: UnixMs) -> bool {
        let Some(dispatch) = job.standing.dispatch else {
            return false;
        };
        let (made, margin, gap) = (dispatch.at(), self.margin(job), self.gap());
        let age = now.since(made);
        self.with(&job.queue, |seen| {
            // Whoever asks will ask again: until then the queue is looked at.
            seen.active_at = Instant::now();
            let looked = seen.looked_at.is_some_and(|at| at.elapsed() <= gap);
            let held = |since: Option<Instant>| {
                looked && since.is_some_and(|since| since.elapsed() >= margin)
            };
            if held(seen.reported_since) {
                let overtaken = seen.came_through > made.after(margin);
                age >= margin && (held(seen.empty_since) || overtaken)
            } else {
                let run = Duration::from_secs(u64::from(job.spec.timeout_s));
                seen.came_through > made.after(margin + run)
            }
        })
    }

    /// The longest time between two looks that counts as looking on.
    fn gap(&self) -> Duration {
        (self.0.margin / 6).max(Duration::from_secs(2))
    }

    fn with<T>(&self, queue: &QueueName, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(seen(&mut self.lock(), queue))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueName, Seen>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen<'q>(queues: &'q mut BTreeMap<QueueName, Seen>, queue: &QueueName) -> &'q mut Seen {
    queues.entry(queue.clone()).or_insert_with(Seen::new)
}

impl Seen {
    fn new() -> Self {
        Self {
            active_at: Instant::now(),
            looked_at: None,
            empty_since: None,
            reported_since: None,
            came_through: UnixMs(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::{ClerkId, Dispatch};
    use tokio::time::advance;

    use super::*;
    use crate::fixture;

    const MARGIN: Duration = Duration::from_secs(60);
    const BEGIN: UnixMs = UnixMs(1_000_000_000);
    const EMPTY: Look = look(0, 1, 1);

    const fn look(ready: u64, consumers: u64, reporting: u64) -> Look {
        Look {
            ready,
            consumers,
            reporting,
        }
    }

    /// A queue's life on a clock that the test moves.
    struct Queue {
        overtaken: Overtaken,
        job: Job,
        now: UnixMs,
    }

    impl Queue {
        /// With a job that is dispatched at its beginning and that no report lists.
        fn new() -> Self {
            let mut job = fixture::job("q", BEGIN).job;
            job.standing.dispatch = Some(Dispatch {
                clerk: ClerkId(1),
                number: Dispatch::first_number(BEGIN),
            });
            Self {
                overtaken: Overtaken::new(MARGIN),
                job,
                now: BEGIN,
            }
        }

        /// Is looked at once a second for so many.
        async fn pass(&mut self, seconds: u64, look: Look) {
            for _ in 0..seconds {
                self.overtaken.saw(&self.job.queue, look);
                advance(Duration::from_secs(1)).await;
                self.now = self.now.after(Duration::from_secs(1));
            }
        }

        fn came_through(&self, seconds: u64) {
            let at = BEGIN.after(Duration::from_secs(seconds));
            self.overtaken.came_through([(&self.job.queue, at)]);
        }

        fn is_lost(&self) -> bool {
            self.overtaken.is_lost(&self.job, self.now)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dispatch_is_lost_whose_queue_was_empty_for_the_margin() {
        let mut queue = Queue::new();
        queue.pass(59, EMPTY).await;
        assert!(!queue.is_lost());
        queue.pass(1, EMPTY).await;
        assert!(queue.is_lost());
        queue.job.standing.doubts = 1;
        assert!(
            queue.is_lost(),
            "one that was given back counts as the first"
        );
        queue.job.standing.doubts = 2;
        assert!(!queue.is_lost(), "its margin is twice as long");
        queue.pass(60, EMPTY).await;
        assert!(queue.is_lost());
        queue.job.standing.doubts = 40;
        assert_eq!(queue.overtaken.margin(&queue.job), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_sees_jobs_or_nothing_at_all_begins_the_margin_anew() {
        type Disturbance = fn(&Queue);
        let disturbances: [Disturbance; 3] = [
            |queue| queue.overtaken.saw(&queue.job.queue, look(1, 1, 1)),
            |queue| queue.overtaken.lost_sight(&queue.job.queue),
            |queue| queue.overtaken.lost_sight_of_all(),
        ];
        for disturb in disturbances {
            let mut queue = Queue::new();
            queue.pass(40, EMPTY).await;
            disturb(&queue);
            assert!(!queue.is_lost());
            queue.pass(59, EMPTY).await;
            assert!(!queue.is_lost());
            queue.pass(1, EMPTY).await;
            assert!(queue.is_lost());
        }
        let mut queue = Queue::new();
        queue.pass(40, EMPTY).await;
        advance(Duration::from_secs(30)).await;
        assert!(!queue.is_lost(), "nobody looks");
        queue.pass(59, EMPTY).await;
        assert!(!queue.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dispatch_that_waits_is_lost_only_where_one_came_through_that_was_made_a_margin_later()
     {
        let mut queue = Queue::new();
        queue.pass(3_000, look(10, 1, 1)).await;
        assert!(!queue.is_lost(), "those before it are slow");
        queue.came_through(60);
        assert!(!queue.is_lost());
        queue.came_through(61);
        queue.came_through(5);
        assert!(queue.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn where_workers_consume_that_send_no_reports_only_a_much_later_dispatch_proves_anything()
    {
        let mut queue = Queue::new();
        assert_eq!(queue.job.spec.timeout_s, 60);
        queue.pass(3_000, look(0, 2, 1)).await;
        assert!(!queue.is_lost(), "one of them may have it");
        queue.came_through(120);
        assert!(!queue.is_lost());
        queue.came_through(121);
        assert!(queue.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_looked_at_for_a_margin_after_it_was_busy_or_asked_about() {
        let queue = Queue::new();
        let all = [queue.job.queue.clone()];
        let looks = |busy: &[QueueName]| queue.overtaken.to_look_at(busy);
        assert!(looks(&[]).is_empty());
        assert_eq!(looks(&all), all);
        advance(MARGIN).await;
        assert_eq!(looks(&[]), all);
        assert!(!queue.is_lost());
        advance(MARGIN).await;
        assert_eq!(looks(&[]), all);
        advance(MARGIN).await;
        assert!(looks(&[]).is_empty());
    }
}
