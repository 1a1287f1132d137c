//! The state machine: what follows when an event happens to a job.
//!
//! [`transition`] is pure and total. `None` means that nothing follows: the event is late, stale or a
//! repetition. What it returns is plain data with the version that it was decided on; whoever stores
//! it compares that version, and decides anew when it has changed.

mod asked;
mod dead_lettered;
mod not_started;
mod replied;

use std::sync::Arc;

pub use self::asked::Verdict;
pub use crate::change::{AttemptEnd, Change, Moment};
use crate::clock::UnixMs;
use crate::event::Event;
use crate::job::{Job, Standing};
use crate::outcome::{Failure, Outcome, Retry};
use crate::state::State;

/// What follows when `event` happens to `job`; `None` if nothing does.
#[must_use]
pub fn transition(job: &Job, event: Event, moment: &Moment) -> Option<Change> {
    let state = job.standing.state;
    if state.is_final() {
        return None;
    }
    let step = Step::new(job, moment);
    match event {
        Event::Due => {
            let due = state == State::Scheduled && step.now >= job.standing.due_at;
            due.then(|| step.queue(job.standing.due_at))
        }
        Event::TooLate { attempt } => step.too_late(attempt),
        Event::Dispatched { dispatch, wake_at } => (state == State::Queued).then(|| {
            step.change(|standing| {
                standing.state = State::Dispatched;
                standing.attempt += 1;
                standing.dispatch = Some(dispatch);
                standing.wake_at = wake_at;
                standing.worker = None;
            })
        }),
        Event::Doubted { attempt } => step.doubted(attempt),
        Event::Undelivered { attempt } => step.undelivered(attempt),
        Event::DeadLettered { attempt, cause } => step.dead_lettered(attempt, cause),
        Event::Listed { attempt, worker } => step.listed(attempt, &worker),
        Event::Started {
            attempt,
            worker,
            at,
        } => step.started(attempt, &worker, at, false),
        Event::Held {
            attempt,
            worker,
            started_at,
        } => step.started(attempt, &worker, started_at, true),
        Event::Watched { wake_at, unlisted } => step.watched(wake_at, unlisted),
        Event::Lost { attempt } => step.lost(attempt),
        Event::Replied {
            attempt,
            reply,
            worker,
            started_at,
        } => step.replied(attempt, reply, Seen { worker, started_at }),
        Event::Asked {
            attempt,
            worker,
            before,
        } => step.asked(attempt, &worker, &before),
        Event::CancelAsked => step.cancel_asked(),
    }
}

struct Step<'a> {
    job: &'a Job,
    moment: &'a Moment,
    /// The time, never before what is on record: the clocks of two clerks differ a little.
    now: UnixMs,
}

/// What a reply says of its attempt.
struct Seen {
    worker: Option<Arc<str>>,
    started_at: Option<UnixMs>,
}

impl<'a> Step<'a> {
    fn new(job: &'a Job, moment: &'a Moment) -> Self {
        let known = job.standing.started_at.unwrap_or(job.created_at);
        let now = moment.now.max(known);
        Self { job, moment, now }
    }

    fn lost(&self, attempt: u32) -> Option<Change> {
        if !self.is_out(attempt) {
            return None;
        }
        if self.job.standing.state == State::Dispatched {
            return Some(self.doubt());
        }
        Some(self.not_survived("its worker was silent for longer than the lease"))
    }

    /// The worker did not survive the start that is on record: that is a failure of the job.
    fn not_survived(&self, detail: &str) -> Change {
        let attempt = self.job.standing.attempt;
        let failure = Failure::new(Failure::WORKER_LOST, detail.to_owned(), attempt);
        let mut change = self.failed(failure, Retry::Policy, self.known());
        if change.outcome.is_none() {
            change.standing.doubts += 1;
        }
        change
    }

    fn doubted(&self, attempt: u32) -> Option<Change> {
        let unseen =
            self.job.standing.state == State::Dispatched && self.job.standing.worker.is_none();
        (unseen && self.is_out(attempt)).then(|| self.doubt())
    }

    fn undelivered(&self, attempt: u32) -> Option<Change> {
        let unstarted = self.job.standing.state == State::Dispatched;
        (unstarted && self.is_out(attempt)).then(|| self.redispatch())
    }

    /// Only what is out is watched: anything else wakes at the end of its delay or at its deadline.
    fn watched(&self, wake_at: UnixMs, unlisted: bool) -> Option<Change> {
        let (wake_at, unlisted) = if self.job.standing.state.is_out() {
            (Some(wake_at), unlisted)
        } else {
            (self.job.undispatched_wake_at(), false)
        };
        let change = self.same_rev(|standing| {
            standing.wake_at = wake_at;
            standing.unlisted = unlisted;
        });
        (change.standing != self.job.standing).then_some(change)
    }

    /// The remedy of every dispatch that may be lost: it is dispatched anew in its turn.
    fn doubt(&self) -> Change {
        let mut change = self.queue(self.job.standing.due_at);
        change.standing.doubts += 1;
        change
    }

    /// The remedy of a dispatch that was given back. It leaves the time that the next one may go unseen as it is; its
    /// worker asks before it starts the job, for the last one may have begun.
    fn redispatch(&self) -> Change {
        let mut change = self.queue(self.job.standing.due_at);
        change.standing.doubts = self.job.standing.doubts.max(1);
        change
    }

    fn listed(&self, attempt: u32, worker: &Arc<str>) -> Option<Change> {
        let news = self.job.standing.worker.as_ref() != Some(worker);
        let unstarted = self.job.standing.state == State::Dispatched;
        (self.is_out(attempt) && unstarted && news).then(|| {
            self.same_rev(|standing| {
                standing.worker = Some(worker.clone());
                standing.wake_at = Some(self.now.after(self.moment.long_lease()));
                standing.unlisted = false;
            })
        })
    }

    fn started(&self, attempt: u32, worker: &Arc<str>, at: UnixMs, held: bool) -> Option<Change> {
        if !self.is_out(attempt) {
            return None;
        }
        let first = self.job.standing.state == State::Dispatched;
        let moved = self.job.standing.worker.as_ref() != Some(worker);
        if !first && !moved && (self.job.standing.held || !held) {
            return None;
        }
        let lease = if held {
            self.moment.lease
        } else {
            self.moment.long_lease()
        };
        let update = |standing: &mut Standing| {
            standing.state = State::Running;
            standing.worker = Some(worker.clone());
            standing.held = held;
            standing.unlisted = false;
            standing.wake_at = Some(self.now.after(lease));
            // An attempt that came back and was started by another worker keeps its first start:
            // clients see that moment, and a listing does not raise the revision.
            if first {
                standing.started_at = Some(self.in_its_life(at));
            }
        };
        Some(if first {
            self.change(update)
        } else {
            self.same_rev(update)
        })
    }

    fn too_late(&self, attempt: Option<u32>) -> Option<Change> {
        let unseen = match (self.job.standing.state, attempt) {
            (State::Queued, None) => true,
            (State::Dispatched, Some(attempt)) => {
                self.is_out(attempt) && self.job.standing.worker.is_none()
            }
            _ => false,
        };
        let start_by = self.job.start_by()?;
        (unseen && self.now >= start_by)
            .then(|| self.end(State::Expired, Outcome::Expired, self.known()))
    }

    /// What has not started ends at once; what runs is told to stop.
    fn cancel_asked(&self) -> Option<Change> {
        let standing = &self.job.standing;
        if standing.cancel_requested_at.is_some() {
            return None;
        }
        let mut change = if standing.state == State::Running {
            self.change(|_| ())
        } else {
            self.end(State::Cancelled, Outcome::Cancelled, self.known())
        };
        change.standing.cancel_requested_at = Some(self.now);
        // A doubted dispatch may still be on its way to a worker.
        let may_be_out = standing.state.is_out() || standing.doubts > 0;
        change.stop = may_be_out.then_some(standing.attempt);
        Some(change)
    }

    /// Back to the queue after a start; scheduled where it is due later.
    fn give_back(&self, due_at: UnixMs, seen: Seen, failure: Option<Failure>) -> Change {
        let started_at = Some(self.start_of(&seen).unwrap_or(self.now));
        let ended = AttemptEnd {
            attempt: self.job.standing.attempt,
            worker: seen.worker.or_else(|| self.job.standing.worker.clone()),
            started_at,
            finished_at: self.now,
            failure,
        };
        let mut change = self.queue(due_at);
        change.standing.started_at = started_at;
        change.standing.wake_at = None;
        change.ended = Some(ended);
        if due_at > self.now {
            change.standing.state = State::Scheduled;
            change.standing.wake_at = Some(due_at);
        }
        change
    }

    /// Undispatched and due; the scheduler ends it at its start deadline.
    fn queue(&self, due_at: UnixMs) -> Change {
        self.change(|standing| {
            standing.state = State::Queued;
            standing.due_at = due_at;
            standing.dispatch = None;
            standing.worker = None;
            standing.held = false;
            standing.unlisted = false;
            standing.wake_at = self.job.start_by();
        })
    }

    fn end(&self, state: State, outcome: Outcome, seen: Seen) -> Change {
        let started_at = self.start_of(&seen);
        let mut change = self.change(|standing| {
            standing.state = state;
            standing.wake_at = None;
            standing.finished_at = Some(self.now);
            standing.held = false;
            standing.unlisted = false;
            if let Some(worker) = seen.worker {
                standing.worker = Some(worker);
            }
        });
        let start = started_at.or(self.job.standing.started_at);
        match state {
            State::Succeeded | State::Failed => {
                change.standing.started_at = Some(start.unwrap_or(self.now));
            }
            State::Cancelled => change.standing.started_at = start,
            _ => {}
        }
        change.outcome = Some(outcome);
        change
    }

    /// When the current attempt started, as far as we know.
    fn start_of(&self, seen: &Seen) -> Option<UnixMs> {
        let running = self.job.standing.state == State::Running;
        let known = self.job.standing.started_at.filter(|_| running);
        known.or(seen.started_at).map(|at| self.in_its_life(at))
    }

    /// What a worker says of the time, neither before the job was accepted nor in the future.
    fn in_its_life(&self, at: UnixMs) -> UnixMs {
        at.clamp(self.job.created_at, self.now)
    }

    fn known(&self) -> Seen {
        Seen {
            worker: self.job.standing.worker.clone(),
            started_at: None,
        }
    }

    fn is_out(&self, attempt: u32) -> bool {
        self.job.standing.state.is_out() && self.job.standing.attempt == attempt
    }

    fn change(&self, update: impl FnOnce(&mut Standing)) -> Change {
        let mut change = self.same_rev(update);
        change.standing.rev = self.job.standing.rev + 1;
        change
    }

    /// A change that clients need not be told of.
    fn same_rev(&self, update: impl FnOnce(&mut Standing)) -> Change {
        let mut standing = self.job.standing.clone();
        update(&mut standing);
        Change {
            id: self.job.id,
            from_rev: self.job.standing.rev,
            from_wake_at: self.job.standing.wake_at,
            standing,
            outcome: None,
            ended: None,
            stop: None,
        }
    }
}
