//! The events of one attempt may come in any order, and those of another attempt move nothing.

use clerkwork_core::{Change, DeadLetterCause, Event, Job, Reply, State, transition};
use proptest::prelude::*;

use crate::support::{
    apply, at, dispatched, held, listed, lived, moment, replied, replies, running, started, step,
    success,
};

/// All that an attempt came to, but for the revision, which counts the steps.
fn fate(mut job: Job, last: &[Change]) -> String {
    job.standing.rev = 0;
    let outcomes: Vec<_> = last
        .iter()
        .filter_map(|change| change.outcome.as_ref())
        .collect();
    let ended: Vec<_> = last
        .iter()
        .filter_map(|change| change.ended.as_ref())
        .collect();
    format!("{:?} {outcomes:?} {ended:?}", job.standing)
}

fn live(mut job: Job, events: &[Event]) -> String {
    let mut changes = vec![];
    for event in events {
        if let Some(change) = transition(&job, event.clone(), &moment(60_000)) {
            job = apply(&job, &change);
            changes.push(change);
        }
    }
    fate(job, &changes)
}

fn one_attempts_events(reply: Reply) -> Vec<Event> {
    let unstarted = matches!(reply, Reply::Expired);
    let reply = Event::Replied {
        attempt: 1,
        reply,
        worker: Some("w".into()),
        started_at: (!unstarted).then_some(at(10)),
    };
    let watched = Event::Watched {
        wake_at: at(90_000),
        unlisted: false,
    };
    let mut events = vec![listed(1, "w"), watched, reply];
    if !unstarted {
        events.extend([started(1, "w", 10), held(1, "w", 10)]);
    }
    events
}

fn orders() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    replies()
        .prop_map(one_attempts_events)
        .prop_flat_map(|events| {
            let shuffled = Just(events.clone()).prop_shuffle();
            (Just(events), shuffled)
        })
}

proptest! {
    #[test]
    fn any_order_of_one_attempts_events_comes_to_the_same_end(
        (one, other) in orders(),
        failed_before in 0u32..3,
    ) {
        let mut job = dispatched();
        job.spec.start_within_s = Some(3600);
        job.standing.failures = failed_before;
        prop_assert_eq!(live(job.clone(), &one), live(job, &other));
    }

    #[test]
    fn another_attempts_failure_start_or_listing_moves_nothing(
        job in lived(),
        reply in replies(),
        other in 0u32..20,
        ms in 0i64..400_000,
    ) {
        prop_assume!(other != job.standing.attempt);
        let reply = match reply {
            Reply::Succeeded { .. } => Reply::Returned,
            reply => reply,
        };
        let events = [
            listed(other, "x"),
            started(other, "x", ms),
            held(other, "x", ms),
            Event::Doubted { attempt: other },
            Event::Undelivered { attempt: other },
            Event::DeadLettered {
                attempt: other,
                cause: DeadLetterCause::DeliveryLimit,
            },
            Event::Lost { attempt: other },
            replied(other, reply),
        ];
        for event in events {
            let told = format!("{event:?}");
            prop_assert!(step(&job, event, ms).is_none(), "{}", told);
        }
    }

    #[test]
    fn a_success_counts_from_any_attempt_ever_dispatched_and_from_no_other(
        job in lived(),
        attempt in 0u32..20,
    ) {
        let change = step(&job, replied(attempt, success()), 500_000);
        let known = attempt >= 1 && attempt <= job.standing.attempt;
        let state = change.map(|change| change.standing.state);
        prop_assert_eq!(state, known.then_some(State::Succeeded));
    }
}

#[test]
fn a_late_start_of_the_attempt_that_was_answered_changes_nothing() {
    let job = crate::support::after(&dispatched(), replied(1, Reply::Returned), 10);
    assert!(step(&job, started(1, "w", 5), 20).is_none());
    assert!(step(&job, listed(1, "w"), 20).is_none());
}

#[test]
fn a_listing_after_the_start_is_no_step_back() {
    assert!(step(&running(), listed(1, "w"), 20).is_none());
    assert!(step(&running(), listed(1, "x"), 20).is_none());
}

#[test]
fn a_start_reported_after_the_hold_does_not_undo_it() {
    let job = crate::support::after(&dispatched(), held(1, "w", 5), 20);
    assert!(job.standing.held);
    assert!(step(&job, started(1, "w", 5), 30).is_none());
}

#[test]
fn an_attempt_that_another_worker_goes_on_with_keeps_its_start() {
    let job = crate::support::after(&running(), started(1, "other", 5_000), 6_000);
    assert_eq!(job.standing.worker.as_deref(), Some("other"));
    assert_eq!(job.standing.started_at, Some(at(10)));
    assert_eq!(job.standing.rev, running().standing.rev);
}
