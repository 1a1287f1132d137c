//! Jobs that the broker gave up delivering to workers that send no reports.

use clerkwork_core::{DeadLetterCause, Event, Failure, Job, Outcome, State};
use proptest::prelude::*;

use crate::support::{after, at, dispatch, dispatched, listed, lived, moment, running, step};

fn dead(attempt: u32) -> Event {
    Event::DeadLettered {
        attempt,
        cause: DeadLetterCause::Rejected,
    }
}

/// The job after its wait, dispatched once more.
fn again(job: &Job) -> Job {
    let ms = job.standing.due_at.0 - at(0).0;
    after(&after(job, Event::Due, ms), dispatch(), ms)
}

#[test]
fn each_dead_letter_counts_one_failure_up_to_the_limit() {
    let mut job = dispatched();
    job.spec.max_attempts = 3;
    for attempt in 1..3 {
        let change = step(&job, dead(attempt), 10_000).unwrap();
        let ended = change.ended.clone().unwrap();
        assert_eq!((ended.attempt, ended.worker), (attempt, None));
        assert_eq!(ended.failure.unwrap().kind, Failure::WORKER_LOST);
        assert_eq!(change.standing.state, State::Scheduled);
        assert_eq!(change.standing.doubts, 0, "nothing of it is left");
        job = again(&after(&job, dead(attempt), 10_000));
    }
    let change = step(&job, dead(3), 90_000).unwrap();
    assert_eq!(change.standing.state, State::Failed);
    assert_eq!(change.standing.failures, 3);
    let Some(Outcome::Failed(failure)) = change.outcome else {
        panic!("it has an error");
    };
    assert_eq!((&*failure.kind, failure.attempt), (Failure::WORKER_LOST, 3));
}

#[test]
fn a_dead_letter_of_a_job_that_a_report_has_listed_changes_nothing() {
    let job = after(&dispatched(), listed(1, "w"), 10);
    assert!(step(&job, dead(1), 20).is_none());
    assert!(step(&running(), dead(1), 20).is_none());
}

proptest! {
    #[test]
    fn a_dead_letter_counts_only_for_the_attempt_that_is_out(
        job in lived(),
        attempt in 0u32..6,
    ) {
        let standing = &job.standing;
        let unseen = standing.state == State::Dispatched && standing.worker.is_none();
        let counts = unseen && standing.attempt == attempt;
        let change = clerkwork_core::transition(&job, dead(attempt), &moment(500_000));
        prop_assert_eq!(change.is_some(), counts);
        if let Some(change) = change {
            prop_assert_eq!(change.standing.failures, standing.failures + 1);
            let last = change.standing.failures >= job.spec.max_attempts;
            prop_assert_eq!(change.standing.state.is_final(), last);
        }
    }
}
