//! A worker asks before it starts what may have been started before: what follows, and what it is told.
//!
//! A grant is on record as a start before the worker hears of it. So a start that its worker did not
//! survive is counted once, whoever asks next, and a question that is repeated finds its own grant.

use std::sync::Arc;

use super::{Change, Step};
use crate::event::Before;
use crate::job::Job;
use crate::outcome::Outcome;
use crate::state::State;

/// What a worker that asked is told, by the job as it is after its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it, as the job's current attempt.
    Granted,
    /// Acknowledge it unrun: superseded, done, or in other hands. The row guards what is left of it.
    Refused,
    /// It is too early to tell: another worker had it.
    Wait,
}

impl Verdict {
    /// What `worker` is told that asked for `attempt`, `before` being known; `job` is the job after that.
    #[must_use]
    pub fn of(job: &Job, attempt: u32, worker: &str, before: &Before) -> Self {
        let standing = &job.standing;
        if !may_be_meant(job, attempt) {
            return Self::Refused;
        }
        let owner = standing.worker.as_deref();
        match before {
            Before::Lives(other) if standing.held && owner == Some(other) => Self::Refused,
            _ if standing.state == State::Running && owner == Some(worker) => Self::Granted,
            _ => Self::Wait,
        }
    }
}

/// Whether a delivery of this attempt may be the one to run. Where a grant took a new number the
/// delivery still carries the old one, so of a job that runs any earlier number will do: what matters
/// is whether its worker lives. Of one that is dispatched the delivery with the last number is on its
/// way, or here.
fn may_be_meant(job: &Job, attempt: u32) -> bool {
    let last = job.standing.attempt;
    match job.standing.state {
        State::Dispatched => attempt == last,
        State::Running => (1..=last).contains(&attempt),
        _ => false,
    }
}

impl Step<'_> {
    pub(super) fn asked(&self, attempt: u32, asker: &Arc<str>, before: &Before) -> Option<Change> {
        if !may_be_meant(self.job, attempt) {
            return None;
        }
        let standing = &self.job.standing;
        let unstarted = standing.state == State::Dispatched;
        match (&standing.worker, before) {
            (owner, Before::Lives(other))
                if owner
                    .as_ref()
                    .is_none_or(|owner| owner == other || owner == asker) =>
            {
                self.left_to(other)
            }
            (Some(owner), _) if owner == asker && !unstarted => self.granted_again(),
            (None, _) => self.grant(asker),
            (Some(owner), _) if owner == asker => self.grant(asker),
            (Some(owner), Before::Silent(other)) if owner == other => {
                let lost = (!unstarted).then(|| {
                    self.not_survived("its worker was silent when another one was given the job")
                });
                Some(self.grant_anew(asker, lost))
            }
            (Some(owner), Before::Without(other)) if owner == other && unstarted => {
                self.grant(asker)
            }
            (Some(owner), Before::Without(other)) if owner == other => {
                Some(self.grant_anew(asker, Some(self.returned(self.known()))))
            }
            _ => None,
        }
    }

    /// The start of this attempt, unless its start deadline has passed before it was ever started.
    fn grant(&self, asker: &Arc<str>) -> Option<Change> {
        if self.is_too_late() {
            return Some(self.end(State::Expired, Outcome::Expired, self.known()));
        }
        let mut change = self.change(|_| ());
        self.start(&mut change, asker);
        Some(change)
    }

    /// The start of a new attempt on the same delivery, so that a failure that the last worker still
    /// sends does not count. `ended` is what the end of the last attempt comes to, if it had started.
    fn grant_anew(&self, asker: &Arc<str>, ended: Option<Change>) -> Change {
        if ended.is_none() && self.is_too_late() {
            return self.end(State::Expired, Outcome::Expired, self.known());
        }
        let mut change = ended.unwrap_or_else(|| self.change(|_| ()));
        if change.outcome.is_some() {
            return change;
        }
        change.standing.due_at = self.job.standing.due_at;
        change.standing.dispatch = self.job.standing.dispatch;
        change.standing.attempt += 1;
        change.standing.doubts = self.job.standing.doubts + 1;
        self.start(&mut change, asker);
        change
    }

    fn start(&self, change: &mut Change, asker: &Arc<str>) {
        let standing = &mut change.standing;
        standing.state = State::Running;
        standing.worker = Some(Arc::clone(asker));
        standing.held = false;
        standing.unlisted = false;
        standing.started_at = Some(self.now);
        standing.wake_at = Some(self.now.after(self.moment.long_lease()));
    }

    /// It asks for what it was granted: the grant did not reach it, so it has not begun. From now on
    /// the broker guards it again.
    fn granted_again(&self) -> Option<Change> {
        if self.job.standing.cancel_requested_at.is_some() {
            return Some(self.end(State::Cancelled, Outcome::Cancelled, self.known()));
        }
        let was_held = self.job.standing.held;
        was_held.then(|| {
            self.same_rev(|standing| {
                standing.held = false;
                standing.wake_at = Some(self.now.after(self.moment.long_lease()));
            })
        })
    }

    /// It runs on a worker that lives. The asker acknowledges its delivery, so the lease guards it.
    fn left_to(&self, worker: &Arc<str>) -> Option<Change> {
        self.started(self.job.standing.attempt, worker, self.now, true)
    }

    fn is_too_late(&self) -> bool {
        let start_by = self.job.start_by();
        start_by.is_some_and(|start_by| self.now >= start_by)
    }
}
