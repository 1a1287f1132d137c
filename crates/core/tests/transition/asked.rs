//! Questions: what may have been started before is started only when that is on record.

use clerkwork_core::{Before, Event, Failure, Job, Reply, Retry, State, Verdict, transition};
use proptest::prelude::*;

use crate::support::{
    LEASE, after, apply, asked, at, dispatch, dispatched, failure, held, job, listed, lived,
    moment, questions, replied, running, started, step, success,
};

/// What the asker of `event` is told, and the job then.
fn verdict(job: &Job, event: Event, ms: i64) -> (Verdict, Job) {
    let Event::Asked {
        attempt,
        worker,
        before,
    } = event.clone()
    else {
        panic!("no question: {event:?}");
    };
    let job = step(job, event, ms).map_or_else(|| job.clone(), |change| apply(job, &change));
    (Verdict::of(&job, attempt, &worker, &before), job)
}

fn silent(worker: &str) -> Before {
    Before::Silent(worker.into())
}

#[test]
fn a_dispatch_that_nobody_is_known_to_have_is_granted_as_a_start() {
    for (job, asker) in [
        (dispatched(), "x"),
        (after(&dispatched(), listed(1, "x"), 5), "x"),
    ] {
        let (verdict, job) = verdict(&job, asked(1, asker, Before::Unknown), 20);
        assert_eq!(verdict, Verdict::Granted);
        let standing = &job.standing;
        assert_eq!((standing.state, standing.attempt), (State::Running, 1));
        assert_eq!((standing.failures, standing.doubts), (0, 0));
        assert_eq!(standing.started_at, Some(at(20)));
        assert_eq!(standing.wake_at, Some(at(20).after(LEASE * 3)));
    }
}

#[test]
fn a_repeated_question_is_granted_again_and_counted_once() {
    let (_, granted) = verdict(&dispatched(), asked(1, "x", Before::Unknown), 20);
    for _ in 0..3 {
        let (again, job) = verdict(&granted, asked(1, "x", Before::Unknown), 900);
        assert_eq!(again, Verdict::Granted);
        assert_eq!(job.standing, granted.standing);
    }
}

#[test]
fn what_is_superseded_done_or_waits_for_its_retry_is_refused() {
    let doubted = after(&dispatched(), Event::Doubted { attempt: 1 }, 10);
    let cancelled = after(&dispatched(), Event::CancelAsked, 10);
    let superseded = after(&doubted, dispatch(), 20);
    let failed = after(&running(), replied(1, failure(Retry::Policy)), 20);
    let done = after(&dispatched(), replied(1, success()), 20);
    for job in [doubted, cancelled, superseded, failed, done] {
        let (verdict, after) = verdict(&job, asked(1, "x", Before::Unknown), 500_000);
        assert_eq!(verdict, Verdict::Refused, "{:?}", job.standing);
        assert_eq!(after.standing, job.standing);
    }
}

#[test]
fn of_a_job_that_another_worker_has_nothing_follows_before_that_is_known() {
    for job in [running(), after(&dispatched(), listed(1, "w"), 10)] {
        for before in [Before::Unknown, silent("y"), Before::Lives("y".into())] {
            let (verdict, after) = verdict(&job, asked(1, "x", before), 99_000);
            assert_eq!(verdict, Verdict::Wait);
            assert_eq!(after.standing, job.standing);
        }
    }
}

#[test]
fn a_start_that_its_worker_did_not_survive_is_counted_and_the_next_has_a_new_number() {
    let running = running();
    let change = step(&running, asked(1, "x", silent("w")), 5_000).unwrap();
    let ended = change.ended.clone().unwrap();
    assert_eq!((ended.attempt, ended.worker.as_deref()), (1, Some("w")));
    assert_eq!(ended.failure.unwrap().kind, Failure::WORKER_LOST);
    let job = apply(&running, &change);
    let standing = &job.standing;
    assert_eq!((standing.state, standing.attempt), (State::Running, 2));
    assert_eq!((standing.failures, standing.doubts), (1, 1));
    assert_eq!(standing.dispatch, running.standing.dispatch);
    assert_eq!(standing.due_at, running.standing.due_at);
    assert_eq!(standing.started_at, Some(at(5_000)));
    let told = Verdict::of(&job, 1, "x", &silent("w"));
    assert_eq!(told, Verdict::Granted, "by the delivery's old number");
    // What the last worker still sends counts only if it is a success.
    let late = replied(1, failure(Retry::Policy));
    assert!(step(&job, late, 6_000).is_none());
    let late = after(&job, replied(1, success()), 6_000);
    assert_eq!(late.standing.state, State::Succeeded);
    assert!(step(&late, replied(2, success()), 6_100).is_none());
}

#[test]
fn a_job_that_kills_each_of_its_workers_ends_failed_after_as_many_starts_as_it_may_fail() {
    let mut job = dispatched();
    let mut last = Before::Unknown;
    for (at, worker) in ["a", "b", "c"].into_iter().enumerate() {
        let (told, granted) = verdict(&job, asked(1, worker, last), 1_000);
        assert_eq!(told, Verdict::Granted);
        assert_eq!(granted.standing.failures as usize, at);
        (job, last) = (granted, silent(worker));
    }
    let (told, job) = verdict(&job, asked(1, "d", last), 2_000);
    assert_eq!(told, Verdict::Refused);
    assert_eq!(job.standing.state, State::Failed);
    assert_eq!(job.failure.unwrap().kind, Failure::WORKER_LOST);
    assert_eq!(job.standing.failures, 3);
}

#[test]
fn what_a_living_worker_does_not_list_is_granted_and_counts_no_failure() {
    let without = || Before::Without("w".into());
    let (told, job) = verdict(&running(), asked(1, "x", without()), 5_000);
    assert_eq!(told, Verdict::Granted);
    assert_eq!((job.standing.attempt, job.standing.failures), (2, 0));
    let listed = after(&dispatched(), listed(1, "w"), 10);
    let change = step(&listed, asked(1, "x", without()), 5_000).unwrap();
    assert!(change.ended.is_none(), "it never started");
    assert_eq!((change.standing.attempt, change.standing.doubts), (1, 0));
}

#[test]
fn a_job_on_a_worker_that_lives_is_left_to_it_and_guarded_by_its_lease() {
    let lives = || Before::Lives("w".into());
    for job in [
        running(),
        dispatched(),
        after(&dispatched(), listed(1, "w"), 5),
    ] {
        let (told, left) = verdict(&job, asked(1, "x", lives()), 5_000);
        assert_eq!(told, Verdict::Refused);
        let standing = &left.standing;
        assert_eq!(standing.state, State::Running);
        assert_eq!(
            (standing.worker.as_deref(), standing.held),
            (Some("w"), true)
        );
        assert_eq!(standing.wake_at, Some(at(5_000).after(LEASE)));
        assert_eq!((standing.attempt, standing.failures), (1, 0));
        let (told, again) = verdict(&left, asked(1, "y", lives()), 6_000);
        assert_eq!((told, &again.standing), (Verdict::Refused, standing));
    }
}

#[test]
fn a_second_delivery_of_what_the_asker_runs_itself_is_refused() {
    let (_, granted) = verdict(&dispatched(), asked(1, "x", Before::Unknown), 20);
    let (told, _) = verdict(&granted, asked(1, "x", Before::Lives("x".into())), 900);
    assert_eq!(told, Verdict::Refused);
}

#[test]
fn what_was_held_and_is_granted_again_is_guarded_by_the_broker_again() {
    let job = after(&running(), held(1, "w", 10), 100);
    let (told, job) = verdict(&job, asked(1, "w", Before::Unknown), 900);
    assert_eq!((told, job.standing.held), (Verdict::Granted, false));
    assert_eq!(job.standing.wake_at, Some(at(900).after(LEASE * 3)));
}

#[test]
fn a_job_past_its_start_deadline_that_never_started_expires_and_one_that_did_is_granted() {
    let mut job = job();
    job.spec.start_within_s = Some(10);
    let job = after(&job, dispatch(), 0);
    let (told, in_time) = verdict(&job, asked(1, "x", Before::Unknown), 9_000);
    assert_eq!(told, Verdict::Granted);
    let (told, late) = verdict(&job, asked(1, "x", Before::Unknown), 10_000);
    assert_eq!(
        (told, late.standing.state),
        (Verdict::Refused, State::Expired)
    );
    let listed = after(&job, listed(1, "w"), 10);
    let (told, late) = verdict(&listed, asked(1, "x", silent("w")), 10_000);
    assert_eq!(
        (told, late.standing.state),
        (Verdict::Refused, State::Expired)
    );
    let (told, _) = verdict(&in_time, asked(1, "y", silent("x")), 20_000);
    assert_eq!(told, Verdict::Granted, "it started once");
}

#[test]
fn once_a_cancel_is_asked_for_a_question_ends_the_job_as_cancelled() {
    let cancelled = after(&running(), Event::CancelAsked, 20);
    for (asker, before) in [
        ("x", silent("w")),
        ("x", Before::Without("w".into())),
        ("w", Before::Unknown),
    ] {
        let (told, job) = verdict(&cancelled, asked(1, asker, before), 5_000);
        assert_eq!(told, Verdict::Refused);
        assert_eq!(job.standing.state, State::Cancelled);
    }
    let (told, _) = verdict(&cancelled, asked(1, "x", Before::Unknown), 5_000);
    assert_eq!(told, Verdict::Wait);
}

#[test]
fn the_report_of_a_granted_start_is_no_news() {
    let (_, granted) = verdict(&dispatched(), asked(1, "x", Before::Unknown), 20);
    assert!(step(&granted, started(1, "x", 25), 300).is_none());
    let returned = after(&granted, replied(1, Reply::Returned), 400);
    assert_eq!(
        (returned.standing.state, returned.standing.failures),
        (State::Queued, 0)
    );
}

proptest! {
    #[test]
    fn who_is_granted_a_job_is_on_record_as_running_it(job in lived(), question in questions(), ms in 0i64..400_000) {
        let Event::Asked { worker, .. } = question.clone() else { unreachable!() };
        let (told, job) = verdict(&job, question, ms);
        match told {
            Verdict::Granted => {
                prop_assert_eq!(job.standing.state, State::Running);
                prop_assert_eq!(job.standing.worker, Some(worker));
                prop_assert!(!job.standing.held);
            }
            Verdict::Wait => prop_assert!(job.standing.state.is_out()),
            Verdict::Refused => {}
        }
    }

    #[test]
    fn of_two_askers_one_at_most_is_granted(job in lived(), first in questions(), second in questions(), ms in 0i64..400_000) {
        let worker = |event: &Event| match event {
            Event::Asked { worker, .. } => worker.clone(),
            _ => unreachable!(),
        };
        prop_assume!(worker(&first) != worker(&second));
        let mut job = job;
        for event in [&first, &second] {
            if let Some(change) = transition(&job, event.clone(), &moment(ms)) {
                job = apply(&job, &change);
            }
        }
        let granted = [&first, &second].into_iter().filter(|event| {
            let Event::Asked { attempt, worker, before } = event else { unreachable!() };
            Verdict::of(&job, *attempt, worker, before) == Verdict::Granted
        });
        prop_assert!(granted.count() <= 1);
    }

    #[test]
    fn a_question_never_takes_a_job_from_a_worker_of_which_nothing_is_known(question in questions(), ms in 0i64..400_000) {
        let known = match &question {
            Event::Asked { before: Before::Silent(w) | Before::Without(w), .. } => &**w == "b",
            // Whoever asks for it does not run it.
            Event::Asked { worker, .. } => &**worker == "b",
            _ => unreachable!(),
        };
        let mut job = running();
        job.standing.worker = Some("b".into());
        let owner = job.standing.worker.clone();
        let (_, after) = verdict(&job, question, ms);
        prop_assert!(known || after.standing.worker == owner);
    }
}
