//! Delays and start deadlines.

use std::time::Duration;

use clerkwork_core::{Event, Job, Reply, Retry, Standing, State};
use proptest::prelude::*;

use crate::support::{
    START, after, at, dispatch, failure, job, jobs, listed, replied, started, step, too_late,
    too_late_as,
};

/// To be started within ten seconds.
fn hurried() -> Job {
    let mut job = job();
    job.spec.start_within_s = Some(10);
    job.standing.wake_at = job.undispatched_wake_at();
    job
}

proptest! {
    #[test]
    fn a_delay_is_kept_to_the_millisecond(job in jobs(), ms in 0i64..100_000) {
        let due = at(ms) >= job.standing.due_at && job.standing.state == State::Scheduled;
        let change = step(&job, Event::Due, ms);
        prop_assert_eq!(change.is_some(), due);
        if let Some(change) = change {
            prop_assert_eq!(change.standing.state, State::Queued);
            prop_assert_eq!(change.standing.due_at, job.standing.due_at);
        }
    }
}

#[test]
fn a_job_with_a_delay_is_scheduled_and_woken_when_it_is_due() {
    let standing = Standing::new(START, at(1));
    assert_eq!(
        (standing.state, standing.wake_at),
        (State::Scheduled, Some(at(1)))
    );
    assert_eq!(Standing::new(START, START).state, State::Queued);
}

#[test]
fn an_undispatched_job_expires_exactly_at_its_deadline() {
    let job = hurried();
    assert_eq!(job.standing.wake_at, Some(at(10_000)));
    assert!(step(&job, too_late(), 9_999).is_none());
    assert_eq!(
        after(&job, too_late(), 10_000).standing.state,
        State::Expired
    );
}

#[test]
fn the_deadline_counts_from_when_the_job_became_due() {
    let mut job = hurried();
    job.standing = Standing::new(START, at(5_000));
    assert!(step(&job, too_late(), 999_000).is_none());
    let job = after(&job, Event::Due, 7_000);
    assert_eq!(job.standing.wake_at, Some(at(15_000)));
}

#[test]
fn a_dispatched_job_that_no_worker_was_seen_with_is_given_up_after_its_deadline() {
    let job = after(&hurried(), dispatch(), 5);
    assert_eq!(job.given_up_at(Duration::from_secs(60)), Some(at(70_000)));
    assert!(step(&job, too_late_as(1), 9_999).is_none());
    assert_eq!(
        after(&job, too_late_as(1), 10_000).standing.state,
        State::Expired
    );
    assert!(
        step(&job, too_late(), 999_000).is_none(),
        "it went out meanwhile"
    );
    assert!(step(&job, too_late_as(2), 999_000).is_none());
    let listed = after(&job, listed(1, "w"), 20);
    assert!(step(&listed, too_late_as(1), 999_000).is_none());
}

#[test]
fn a_doubt_keeps_the_deadline() {
    let job = after(&hurried(), dispatch(), 5);
    let job = after(&job, Event::Doubted { attempt: 1 }, 2_000);
    assert_eq!(job.standing.wake_at, Some(at(10_000)));
    assert_eq!(
        after(&job, too_late(), 10_000).standing.state,
        State::Expired
    );
}

#[test]
fn the_deadline_concerns_the_first_start_only() {
    let job = after(&hurried(), dispatch(), 5);
    let running = after(&job, started(1, "w", 10), 20);
    assert!(step(&running, too_late_as(1), 999_000).is_none());
    // Neither of these says when it started, but started it has.
    for reply in [failure(Retry::AfterMs(0)), Reply::Returned] {
        let queued = after(&job, replied(1, reply), 30);
        assert_eq!(
            (queued.standing.state, queued.standing.wake_at),
            (State::Queued, None)
        );
        assert_eq!(queued.standing.started_at, Some(at(30)));
        assert!(step(&queued, too_late(), 999_000).is_none());
    }
}

#[test]
fn a_job_that_could_not_be_started_keeps_its_deadline_and_its_turn() {
    let job = after(&hurried(), dispatch(), 5);
    let granted = after(&job, started(1, "w", 10), 20);
    for job in [&job, &granted] {
        let change = step(job, replied(1, Reply::NotStarted), 2_000).unwrap();
        assert!(change.ended.is_none(), "no attempt was made");
        let queued = after(job, replied(1, Reply::NotStarted), 2_000);
        let standing = &queued.standing;
        assert_eq!(
            (standing.state, standing.started_at, standing.failures),
            (State::Queued, None, 0)
        );
        assert_eq!(standing.due_at, job.standing.due_at);
        assert_eq!(
            after(&queued, too_late(), 10_000).standing.state,
            State::Expired
        );
    }
}

#[test]
fn a_worker_ends_a_job_as_expired_only_after_its_deadline() {
    let job = after(&hurried(), dispatch(), 5);
    // A worker's clock may be ahead.
    let early = after(&job, replied(1, Reply::Expired), 9_999);
    assert_eq!(
        (early.standing.state, early.standing.doubts),
        (State::Queued, 1)
    );
    let expired = after(&job, replied(1, Reply::Expired), 12_000);
    assert_eq!(
        (expired.standing.state, expired.standing.started_at),
        (State::Expired, None)
    );
    let endless = after(
        &crate::support::dispatched(),
        replied(1, Reply::Expired),
        12_000,
    );
    assert_eq!(endless.standing.state, State::Queued, "it has no deadline");
}
