//! Failures and what follows them.

use std::time::Duration;

use clerkwork_core::retry::{MOST_ASKED, delay};
use clerkwork_core::{Event, Failure, Outcome, Reply, Retry, State};
use proptest::prelude::*;

use crate::support::{after, at, dispatch, dispatched, failure, replied, running, started, step};

proptest! {
    #[test]
    fn a_wait_is_half_to_one_and_a_half_of_the_doubled_delay(
        failures in 1u32..200,
        delay_s in 0u32..=3600,
        chance in any::<f64>(),
    ) {
        let wait = delay(failures, delay_s, chance).as_secs_f64();
        let doubled = f64::from(delay_s) * 2f64.powi(i32::try_from(failures - 1).unwrap());
        let base = doubled.min(3600.0);
        prop_assert!(wait >= base * 0.5 - 1e-6 && wait <= base * 1.5 + 1e-6, "{} of {}", wait, base);
    }

    #[test]
    fn no_worker_can_put_a_job_off_for_longer_than_a_client_could(ms in any::<u64>()) {
        let change = step(&dispatched(), replied(1, failure(Retry::AfterMs(ms))), 0).unwrap();
        prop_assert!(change.standing.due_at <= at(0).after(MOST_ASKED));
        prop_assert_eq!(change.standing.state, if ms == 0 { State::Queued } else { State::Scheduled });
    }
}

#[test]
fn a_failed_attempt_with_attempts_left_waits_and_leaves_a_row_of_history() {
    let change = step(&running(), replied(1, failure(Retry::Policy)), 500).unwrap();
    let standing = &change.standing;
    assert_eq!(
        (standing.state, standing.failures, standing.attempt),
        (State::Scheduled, 1, 1)
    );
    assert_eq!(
        (standing.due_at, standing.wake_at),
        (at(1_500), Some(at(1_500)))
    );
    assert_eq!((standing.dispatch, standing.worker.as_ref()), (None, None));
    let ended = change.ended.unwrap();
    assert_eq!((ended.attempt, ended.worker.as_deref()), (1, Some("w")));
    assert_eq!(
        (ended.started_at, ended.finished_at),
        (Some(at(10)), at(500))
    );
    assert_eq!(ended.failure.unwrap().detail.as_deref(), Some("boom"));
}

#[test]
fn the_last_failure_is_the_jobs() {
    let mut job = dispatched();
    job.spec.max_attempts = 2;
    let job = after(&job, replied(1, failure(Retry::AfterMs(0))), 10);
    let job = after(&job, dispatch(), 20);
    let change = step(&job, replied(2, failure(Retry::AfterMs(0))), 30).unwrap();
    assert_eq!(
        (change.standing.state, change.standing.failures),
        (State::Failed, 2)
    );
    let Some(Outcome::Failed(failure)) = change.outcome else {
        panic!("no failure")
    };
    assert_eq!(failure.attempt, 2);
    assert!(change.ended.is_none());
}

#[test]
fn a_worker_that_says_never_is_believed() {
    let job = after(&dispatched(), replied(1, failure(Retry::Never)), 10);
    assert_eq!(
        (job.standing.state, job.standing.failures),
        (State::Failed, 1)
    );
    assert_eq!(job.standing.started_at, Some(at(10)));
}

#[test]
fn an_output_that_cannot_be_kept_is_never_tried_again() {
    for kind in [Failure::INVALID_OUTPUT, Failure::OUTPUT_TOO_LARGE] {
        let reply = Reply::Failed {
            failure: Failure::new(kind, None, 1),
            retry: Retry::Policy,
        };
        assert_eq!(
            after(&running(), replied(1, reply), 10).standing.state,
            State::Failed
        );
    }
}

#[test]
fn a_job_given_back_has_not_failed_and_is_due_at_once() {
    let change = step(&running(), replied(1, Reply::Returned), 500).unwrap();
    let standing = &change.standing;
    assert_eq!(
        (standing.state, standing.failures, standing.due_at),
        (State::Queued, 0, at(500))
    );
    assert!(change.ended.unwrap().failure.is_none());
}

#[test]
fn a_failure_without_a_word_says_so() {
    let silent = |retry| Reply::Failed {
        failure: Failure::new(Failure::HANDLER_ERROR, None, 1),
        retry,
    };
    let change = step(&running(), replied(1, silent(Retry::Policy)), 10).unwrap();
    assert!(change.ended.unwrap().failure.unwrap().detail.is_some());
    let change = step(&running(), replied(1, silent(Retry::Never)), 10).unwrap();
    let Some(Outcome::Failed(failure)) = change.outcome else {
        panic!("it has not failed")
    };
    assert!(failure.detail.is_some());
}

#[test]
fn a_lost_worker_counts_as_a_failure_until_none_is_left() {
    let mut job = dispatched();
    for attempt in 1..=3 {
        job = after(&job, started(attempt, "w", 10), 10);
        job = after(&job, Event::Lost { attempt }, 20);
        if attempt < 3 {
            job = after(&job, Event::Due, 3_600_000);
            job = after(&job, dispatch(), 3_600_000);
        }
    }
    assert_eq!(
        (job.standing.state, job.standing.failures),
        (State::Failed, 3)
    );
    assert_eq!(job.failure.unwrap().kind, Failure::WORKER_LOST);
}

#[test]
fn a_wait_without_a_delay_is_none() {
    assert_eq!(delay(5, 0, 1.0), Duration::ZERO);
}
