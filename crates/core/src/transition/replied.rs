//! A worker's answer: what follows from it.

use std::time::Duration;

use super::{Change, Seen, Step};
use crate::event::Reply;
use crate::outcome::{Failure, Outcome, Retry};
use crate::retry;
use crate::state::State;

impl Step<'_> {
    pub(super) fn replied(&self, attempt: u32, reply: Reply, seen: Seen) -> Option<Change> {
        if let Reply::Succeeded { media_type, output } = reply {
            return self.succeeded(attempt, Outcome::Succeeded { media_type, output }, seen);
        }
        if !self.is_out(attempt) {
            return None;
        }
        match reply {
            Reply::Succeeded { .. } => None,
            Reply::Failed { failure, retry } => Some(self.failed(failure, retry, seen)),
            Reply::Cancelled => Some(self.cancelled(seen)),
            Reply::Expired | Reply::NotStarted if self.is_in_other_hands(&seen) => None,
            Reply::Expired => Some(self.expired(seen)),
            Reply::Returned => Some(self.returned(seen)),
            Reply::NotStarted => Some(self.not_started(seen)),
        }
    }

    /// A success counts from whichever attempt it comes, if that was ever dispatched.
    pub(super) fn succeeded(&self, attempt: u32, outcome: Outcome, seen: Seen) -> Option<Change> {
        let known = (1..=self.job.standing.attempt).contains(&attempt);
        known.then(|| self.end(State::Succeeded, outcome, seen))
    }

    pub(super) fn failed(&self, mut failure: Failure, retry: Retry, seen: Seen) -> Change {
        failure.attempt = self.job.standing.attempt;
        failure
            .detail
            .get_or_insert_with(|| "the worker did not say why".to_owned());
        let failures = self.job.standing.failures + 1;
        if self.job.standing.cancel_requested_at.is_some() {
            let mut change = self.end(State::Cancelled, Outcome::Cancelled, seen);
            change.standing.failures = failures;
            return change;
        }
        let hopeless = retry == Retry::Never || failure.is_beyond_retry();
        if hopeless || failures >= self.job.spec.max_attempts {
            let mut change = self.end(State::Failed, Outcome::Failed(failure), seen);
            change.standing.failures = failures;
            return change;
        }
        let wait = match retry {
            Retry::AfterMs(ms) => Duration::from_millis(ms).min(retry::MOST_ASKED),
            Retry::Policy | Retry::Never => {
                retry::delay(failures, self.job.spec.retry_delay_s, self.moment.chance)
            }
        };
        let mut change = self.give_back(self.now.after(wait), seen, Some(failure));
        change.standing.failures = failures;
        change
    }

    /// Nobody but a client cancels: what was not to be stopped goes on elsewhere.
    pub(super) fn cancelled(&self, seen: Seen) -> Change {
        let unstarted = self.job.standing.state == State::Dispatched && seen.started_at.is_none();
        match self.job.standing.cancel_requested_at {
            Some(_) => self.end(State::Cancelled, Outcome::Cancelled, seen),
            None if unstarted => self.redispatch(),
            None => self.give_back(self.now, seen, None),
        }
    }

    /// Ends the job if its start deadline has passed. Otherwise the worker was wrong, its clock ahead or the job
    /// started before: its delivery is gone with this answer, so the job is given back.
    pub(super) fn expired(&self, seen: Seen) -> Change {
        if self.job.standing.state != State::Dispatched {
            return self.returned(seen);
        }
        match self.job.start_by() {
            Some(start_by) if self.now >= start_by => {
                self.end(State::Expired, Outcome::Expired, seen)
            }
            _ => self.redispatch(),
        }
    }

    pub(super) fn returned(&self, seen: Seen) -> Change {
        if self.job.standing.cancel_requested_at.is_some() {
            return self.end(State::Cancelled, Outcome::Cancelled, seen);
        }
        self.give_back(self.now, seen, None)
    }

    /// Tells whether another worker than the one that answers runs the job: then the lease guards it.
    fn is_in_other_hands(&self, seen: &Seen) -> bool {
        let standing = &self.job.standing;
        standing.state == State::Running && seen.worker.is_some() && seen.worker != standing.worker
    }
}
