//! Cancelling.

use clerkwork_core::{Event, Outcome, Reply, Retry, State, transition};
use proptest::prelude::*;

use crate::support::{
    after, apply, at, dispatch, dispatched, failure, histories, job, lived, replied, running, step,
    success,
};

proptest! {
    #[test]
    fn once_a_cancel_is_asked_no_attempt_follows(job in lived(), history in histories()) {
        let mut job = match step(&job, Event::CancelAsked, 400_000) {
            Some(change) => apply(&job, &change),
            None => job,
        };
        prop_assert!(job.standing.cancel_requested_at.is_some());
        let attempt = job.standing.attempt;
        for (event, moment) in history {
            let Some(change) = transition(&job, event, &moment) else { continue };
            job = apply(&job, &change);
            let state = job.standing.state;
            prop_assert_eq!(job.standing.attempt, attempt);
            prop_assert!(matches!(state, State::Running | State::Cancelled | State::Succeeded));
        }
    }
}

#[test]
fn what_has_not_started_ends_at_once() {
    for job in [job(), dispatched()] {
        let change = step(&job, Event::CancelAsked, 50).unwrap();
        assert_eq!(change.standing.state, State::Cancelled);
        assert!(matches!(change.outcome, Some(Outcome::Cancelled)));
        assert_eq!(change.standing.cancel_requested_at, Some(at(50)));
    }
}

#[test]
fn what_runs_is_told_to_stop_once() {
    let job = running();
    let change = step(&job, Event::CancelAsked, 50).unwrap();
    assert_eq!(
        (change.standing.state, change.stop),
        (State::Running, Some(1))
    );
    assert!(change.outcome.is_none());
    let job = apply(&job, &change);
    assert!(step(&job, Event::CancelAsked, 60).is_none());
}

#[test]
fn workers_are_told_of_what_may_still_reach_them_and_of_nothing_else() {
    let stop = |job| step(&job, Event::CancelAsked, 50).unwrap().stop;
    assert_eq!(stop(job()), None);
    assert_eq!(stop(dispatched()), Some(1));
    let failed = after(&dispatched(), replied(1, failure(Retry::AfterMs(0))), 10);
    assert_eq!(stop(failed), None);
    let doubted = after(&dispatched(), Event::Doubted { attempt: 1 }, 10);
    assert_eq!(stop(doubted.clone()), Some(1));
    assert_eq!(stop(after(&doubted, dispatch(), 20)), Some(2));
}

#[test]
fn a_failed_lost_or_returned_attempt_ends_a_job_whose_cancel_was_asked() {
    let job = after(&running(), Event::CancelAsked, 50);
    let ends = [
        replied(1, failure(Retry::Policy)),
        replied(1, failure(Retry::Never)),
        replied(1, Reply::Returned),
        replied(1, Reply::Cancelled),
        Event::Lost { attempt: 1 },
    ];
    for event in ends {
        let told = format!("{event:?}");
        assert_eq!(
            after(&job, event, 60).standing.state,
            State::Cancelled,
            "{told}"
        );
    }
    assert_eq!(
        after(&job, replied(1, success()), 60).standing.state,
        State::Succeeded
    );
}

#[test]
fn a_cancelled_answer_ends_only_a_job_whose_cancel_was_asked() {
    let cancelled = replied(1, Reply::Cancelled);
    let unasked = after(&running(), cancelled.clone(), 60);
    assert_eq!(unasked.standing.state, State::Queued);
    let unstarted = after(&dispatched(), cancelled.clone(), 60);
    assert_eq!(unstarted.standing.state, State::Queued);
    assert_eq!(
        (unstarted.standing.doubts, unstarted.standing.started_at),
        (1, None)
    );
    let asked = after(&running(), Event::CancelAsked, 50);
    let ended = after(&asked, cancelled, 60);
    assert_eq!(ended.standing.state, State::Cancelled);
    assert_eq!(ended.standing.started_at, asked.standing.started_at);
}
