//! Three traps that a table of states and events exposes.

use clerkwork_core::{ClerkId, Dispatch, Event, Reply, Retry, State};
use proptest::prelude::*;

use crate::support::{
    LEASE, after, at, dispatch, dispatched, events, failure, held, job, listed, replied, running,
    started, step, success,
};

#[test]
fn a_success_that_overtakes_its_confirm_is_no_strangers() {
    // The number is on the row before anything is published: nothing else needs to be recorded
    // between the publish and the answer.
    let job = dispatched();
    assert_eq!(
        (job.standing.state, job.standing.attempt),
        (State::Dispatched, 1)
    );
    let change = step(&job, replied(1, success()), 1).unwrap();
    assert_eq!(change.standing.state, State::Succeeded);
    assert!(step(&job, replied(2, success()), 1).is_none());
}

#[test]
fn a_number_is_never_given_to_another_dispatch() {
    let doubted = after(&dispatched(), Event::Doubted { attempt: 1 }, 10);
    assert_eq!(
        (doubted.standing.state, doubted.standing.attempt),
        (State::Queued, 1)
    );
    assert_eq!((doubted.standing.doubts, doubted.standing.failures), (1, 0));
    let again = after(&doubted, dispatch(), 20);
    assert_eq!(again.standing.attempt, 2);
    let returned = after(&again, replied(2, Reply::Returned), 30);
    assert_eq!(after(&returned, dispatch(), 40).standing.attempt, 3);
}

#[test]
fn a_job_that_only_waits_in_the_queue_has_no_lease() {
    for wake_at in [None, Some(at(3_600_000))] {
        let dispatch = Dispatch {
            clerk: ClerkId(1),
            number: 9,
        };
        let job = after(&job(), Event::Dispatched { dispatch, wake_at }, 0);
        assert_eq!(job.standing.wake_at, wake_at);
        assert_eq!(job.standing.dispatch, Some(dispatch));
    }
}

proptest! {
    #[test]
    fn only_a_worker_or_the_scheduler_moves_the_look_at_a_dispatched_job(event in events(), ms in 0i64..400_000) {
        let by_them = matches!(
            event,
            Event::Listed { .. } | Event::Started { .. } | Event::Held { .. } | Event::Watched { .. }
        );
        if let Some(change) = step(&dispatched(), event, ms) {
            let stays = change.standing.state == State::Dispatched;
            prop_assert!(by_them || !stays || change.standing.wake_at.is_none());
        }
    }
}

#[test]
fn a_lease_is_short_only_where_the_broker_no_longer_guards() {
    let lease_ends = |job: &clerkwork_core::Job| job.standing.wake_at;
    let long = LEASE * 3;
    let listing = after(&dispatched(), listed(1, "w"), 100);
    assert_eq!(lease_ends(&listing), Some(at(100).after(long)));
    let start = after(&listing, started(1, "w", 150), 200);
    assert_eq!(lease_ends(&start), Some(at(200).after(long)));
    let hold = after(&start, held(1, "w", 150), 300);
    assert_eq!(lease_ends(&hold), Some(at(300).after(LEASE)));
}

#[test]
fn a_dispatch_that_did_not_start_is_doubted_and_counts_no_failure() {
    let listed = after(&dispatched(), listed(1, "w"), 10);
    let lost = after(&listed, Event::Lost { attempt: 1 }, 90_000);
    let doubted = after(&dispatched(), Event::Doubted { attempt: 1 }, 90_000);
    for job in [lost, doubted] {
        assert_eq!(job.standing.state, State::Queued);
        assert_eq!((job.standing.failures, job.standing.doubts), (0, 1));
    }
    for guarded in [running(), listed] {
        assert!(
            step(&guarded, Event::Doubted { attempt: 1 }, 20).is_none(),
            "its lease guards it"
        );
    }
}

#[test]
fn a_dispatch_that_the_broker_gives_back_counts_as_one_doubt_at_most() {
    let listed = after(&dispatched(), listed(1, "w"), 10);
    for mut job in [dispatched(), listed] {
        for round in 1..20 {
            let attempt = job.standing.attempt;
            job = after(&job, Event::Undelivered { attempt }, 100 * i64::from(round));
            assert_eq!(job.standing.state, State::Queued);
            assert_eq!((job.standing.failures, job.standing.doubts), (0, 1));
            job = after(&job, dispatch(), 100 * i64::from(round) + 10);
        }
    }
    let doubted = after(&dispatched(), Event::Doubted { attempt: 1 }, 10);
    let mut twice = after(&doubted, dispatch(), 20);
    twice.standing.doubts = 3;
    let returned = after(&twice, Event::Undelivered { attempt: 2 }, 30);
    assert_eq!(returned.standing.doubts, 3, "it takes none away");
    assert!(
        step(&running(), Event::Undelivered { attempt: 1 }, 20).is_none(),
        "its lease guards it"
    );
}

#[test]
fn an_answer_that_ends_nothing_gives_its_job_back() {
    let nobody = replied(1, Reply::Expired);
    for job in [dispatched(), after(&dispatched(), listed(1, "w"), 10)] {
        let queued = after(&job, nobody.clone(), 20);
        assert_eq!(queued.standing.state, State::Queued, "it has no deadline");
        assert_eq!((queued.standing.failures, queued.standing.doubts), (0, 1));
    }
    let queued = after(&running(), nobody.clone(), 20);
    assert_eq!(queued.standing.state, State::Queued, "it had started");
    assert_eq!(queued.standing.failures, 0);
    let asked = after(&running(), Event::CancelAsked, 15);
    let cancelled = after(&asked, nobody, 20);
    assert_eq!(cancelled.standing.state, State::Cancelled);
}

#[test]
fn a_lease_that_ends_on_a_started_attempt_counts_one_failure_and_a_doubt() {
    let change = step(&running(), Event::Lost { attempt: 1 }, 90_000).unwrap();
    assert_eq!((change.standing.failures, change.standing.doubts), (1, 1));
    let ended = change.ended.unwrap();
    assert_eq!((ended.attempt, ended.worker.as_deref()), (1, Some("w")));
    let failure = ended.failure.unwrap();
    assert_eq!(failure.kind, clerkwork_core::Failure::WORKER_LOST);
    assert_eq!(failure.attempt, 1);
}

#[test]
fn only_what_is_out_is_watched() {
    let watched = Event::Watched {
        wake_at: at(99),
        unlisted: true,
    };
    assert!(step(&job(), watched.clone(), 1).is_none());
    let mut scheduled = after(&running(), replied(1, failure(Retry::Policy)), 500);
    scheduled.standing.wake_at = Some(at(9_000));
    let change = step(&scheduled, watched.clone(), 1).unwrap();
    assert_eq!(change.standing.wake_at, Some(scheduled.standing.due_at));
    let change = step(&dispatched(), watched, 1).unwrap();
    assert_eq!(
        (change.standing.wake_at, change.standing.unlisted),
        (Some(at(99)), true)
    );
    assert_eq!(change.standing.rev, dispatched().standing.rev);
}

#[test]
fn an_answer_of_another_worker_takes_no_running_job_from_its_own() {
    for reply in [Reply::Expired, Reply::NotStarted] {
        let answer = Event::Replied {
            attempt: 1,
            reply,
            worker: Some("another".into()),
            started_at: None,
        };
        assert!(step(&running(), answer, 20).is_none());
    }
}
