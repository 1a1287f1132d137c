//! Queues that the broker refused to declare: which, and when each is tried again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_broker::Error;
use tokio::time::Instant;

/// The wait before a refused queue is declared again, doubled with each refusal up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The time for which the refusal of a queue that was not made is shown.
const SHOWN: Duration = Duration::from_secs(60);

/// The most queues that are named.
const NAMED: usize = 100;

/// Queues that the broker refused to declare, by their names on it.
#[derive(Debug, Default)]
pub(super) struct DeclareFailures(Mutex<BTreeMap<String, Failure>>);

/// The refusals of one queue.
#[derive(Clone, Debug)]
struct Failure {
    error: Error,
    noted_at: Instant,
    wait: Duration,
    next_at: Instant,
}

/// The names of queues that the broker does not have as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailedQueues {
    /// Those that exist with other arguments.
    pub(crate) mismatched: Vec<String>,
    /// Those that the broker refuses to make.
    pub(crate) refused: Vec<String>,
}

impl DeclareFailures {
    /// Notes an answer of the broker that will not change by itself; whether it is one, and it is logged
    /// where it is news.
    pub(super) fn note(&self, queue: &str, error: &Error) -> bool {
        if !is_refusal(error) {
            return false;
        }
        let mut failures = self.lock();
        let before = failures.get(queue);
        if before.is_none_or(|before| before.error != *error) {
            tracing::error!(queue, %error, "the queue cannot be declared; all others go on");
        }
        let wait = before.map_or(FIRST_WAIT, |before| (before.wait * 2).min(LONGEST_WAIT));
        let failure = Failure {
            error: error.clone(),
            noted_at: Instant::now(),
            wait,
            next_at: Instant::now() + wait,
        };
        failures.insert(queue.to_owned(), failure);
        true
    }

    /// The queue is declared, or nobody wants it any more; whether it was refused before.
    pub(super) fn forget(&self, queue: &str) -> bool {
        self.lock().remove(queue).is_some()
    }

    /// Forgets the refusal of a queue that nobody has, unless it is new.
    pub(super) fn forget_old(&self, queue: &str) {
        let mut failures = self.lock();
        if failures
            .get(queue)
            .is_some_and(|failure| failure.noted_at.elapsed() >= SHOWN)
        {
            failures.remove(queue);
        }
    }

    /// The queue is not on the broker: what was there with other arguments is gone.
    pub(super) fn is_missing(&self, queue: &str) {
        if let Some(failure) = self.lock().get_mut(queue)
            && matches!(failure.error, Error::Mismatch { .. })
        {
            failure.next_at = Instant::now();
        }
    }

    /// Tells whether it was refused so lately that it is not asked about.
    pub(super) fn is_waiting(&self, queue: &str) -> bool {
        let now = Instant::now();
        self.lock()
            .get(queue)
            .is_some_and(|failure| now < failure.next_at)
    }

    /// Tells whether looking at it would be refused as well: it was refused lately, and is not known to exist.
    pub(super) fn hides(&self, queue: &str) -> bool {
        let now = Instant::now();
        self.lock().get(queue).is_some_and(|failure| {
            now < failure.next_at && !matches!(failure.error, Error::Mismatch { .. })
        })
    }

    /// The queues whose wait is over.
    pub(super) fn due(&self) -> Vec<String> {
        let now = Instant::now();
        let failures = self.lock();
        let due = failures
            .iter()
            .filter(|(_, failure)| failure.next_at <= now);
        due.map(|(queue, _)| queue.clone()).collect()
    }

    /// All of them, by kind.
    pub(super) fn all(&self) -> FailedQueues {
        let mut all = FailedQueues::default();
        for (queue, failure) in &*self.lock() {
            let kind = match failure.error {
                Error::Mismatch { .. } => &mut all.mismatched,
                _ => &mut all.refused,
            };
            if kind.len() < NAMED {
                kind.push(queue.clone());
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether the broker gave this answer because of the queue, and would give it again.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Mismatch { .. } | Error::Refused { .. } | Error::Forbidden(_)
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn mismatch(detail: &str) -> Error {
        Error::Mismatch {
            queue: "clerkwork.jobs.q".to_owned(),
            detail: detail.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_queue_is_tried_again_at_growing_intervals() {
        let failures = DeclareFailures::default();
        let mut tries = 0;
        for _ in 0..600 {
            if !failures.is_waiting("q") {
                assert!(failures.note("q", &mismatch("x-queue-type")));
                tries += 1;
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!((10..20).contains(&tries), "{tries} tries in ten minutes");
        assert!(failures.forget("q") && !failures.forget("q"));
        assert_eq!(failures.all(), FailedQueues::default());
        assert!(!failures.is_waiting("q"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_mismatched_queue_that_was_deleted_is_declared_at_once() {
        let failures = DeclareFailures::default();
        let refused = Error::Refused {
            queue: "clerkwork.jobs.full".to_owned(),
            detail: "queue limit".to_owned(),
        };
        failures.note("q", &mismatch("x-queue-type"));
        failures.note("full", &refused);
        let all = failures.all();
        assert_eq!(
            (all.mismatched, all.refused),
            (vec!["q".to_owned()], vec!["full".to_owned()])
        );
        assert!(!failures.hides("q") && failures.hides("full"));
        for queue in ["q", "full"] {
            failures.is_missing(queue);
        }
        assert_eq!(failures.due(), ["q"], "a limit may still be reached");
        assert!(failures.is_waiting("full"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusal_of_a_queue_that_was_not_made_is_shown_for_a_while() {
        let failures = DeclareFailures::default();
        failures.note("q", &mismatch("x-queue-type"));
        advance(SHOWN / 2).await;
        failures.forget_old("q");
        assert_eq!(failures.all().mismatched, ["q"]);
        advance(SHOWN / 2).await;
        failures.forget_old("q");
        assert_eq!(failures.all(), FailedQueues::default());
    }

    #[test]
    fn a_broker_that_is_away_is_no_refusal_of_a_queue() {
        let failures = DeclareFailures::default();
        assert!(!failures.note("q", &Error::Away("gone".to_owned())));
        assert!(!failures.is_waiting("q"));
    }
}
