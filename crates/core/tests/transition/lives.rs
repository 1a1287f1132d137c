//! What holds in every life, whatever happens in whatever order.

use std::time::Duration;

use clerkwork_core::{Event, Job, JobObject, State, transition};
use proptest::prelude::*;

use crate::support::{at, ended, events, histories, jobs, lived, moment, started};

/// What clients see, but for the output.
fn seen(job: &Job) -> String {
    serde_json::to_string(&JobObject::of(job, Duration::from_secs(60))).unwrap()
}

proptest! {
    #[test]
    fn a_final_state_absorbs_everything(job in lived(), history in histories()) {
        let job = ended(&job);
        for (event, moment) in history {
            let told = format!("{event:?}");
            prop_assert!(transition(&job, event, &moment).is_none(), "{}", told);
        }
    }

    #[test]
    fn an_event_told_twice_has_no_second_consequence(job in lived(), event in events(), ms in 0i64..400_000) {
        if let Some(change) = transition(&job, event.clone(), &moment(ms)) {
            let job = crate::support::apply(&job, &change);
            let again = transition(&job, event, &moment(ms));
            prop_assert!(again.is_none(), "{:?} then {:?}", change, again);
        }
    }

    #[test]
    fn numbers_only_rise_and_failures_never_exceed_the_limit(job in jobs(), history in histories()) {
        let mut job = job;
        for (event, moment) in history {
            let Some(change) = transition(&job, event, &moment) else { continue };
            let (before, after) = (&job.standing, &change.standing);
            prop_assert!((before.attempt..=before.attempt + 1).contains(&after.attempt));
            prop_assert!((before.failures..=before.failures + 1).contains(&after.failures));
            prop_assert!(after.failures <= job.spec.max_attempts);
            prop_assert!(after.failures < job.spec.max_attempts || after.state.is_final());
            prop_assert!(after.doubts >= before.doubts);
            let dispatched = after.state == State::Dispatched && before.state == State::Queued;
            let moved = after.state == State::Running && before.worker != after.worker && before.worker.is_some();
            prop_assert!(!dispatched || after.attempt > before.attempt);
            prop_assert!(dispatched || moved || after.attempt == before.attempt);
            job = crate::support::apply(&job, &change);
        }
    }

    #[test]
    fn the_revision_rises_by_one_or_clients_see_no_change(job in lived(), event in events(), ms in -50i64..400_000) {
        if let Some(change) = transition(&job, event, &moment(ms)) {
            let after = crate::support::apply(&job, &change);
            if change.standing.rev == job.standing.rev {
                prop_assert_eq!(seen(&after), seen(&job));
                prop_assert!(change.outcome.is_none() && change.ended.is_none());
            } else {
                prop_assert_eq!(change.standing.rev, job.standing.rev + 1);
            }
        }
    }

    #[test]
    fn a_standing_is_whole_in_every_state(job in jobs(), history in histories()) {
        let mut job = job;
        for (event, moment) in history {
            let Some(change) = transition(&job, event, &moment) else { continue };
            job = crate::support::apply(&job, &change);
            let standing = &job.standing;
            let state = standing.state;
            prop_assert_eq!(change.outcome.is_some(), state.is_final());
            prop_assert_eq!(standing.finished_at.is_some(), state.is_final());
            prop_assert!(standing.finished_at >= standing.started_at || !state.is_final());
            prop_assert!(standing.started_at.is_none_or(|start| start >= job.created_at));
            prop_assert!(!standing.held || state == State::Running);
            match state {
                State::Scheduled | State::Queued => {
                    prop_assert_eq!(standing.wake_at, job.undispatched_wake_at());
                    prop_assert!(standing.dispatch.is_none() && standing.worker.is_none());
                }
                State::Dispatched => prop_assert!(standing.dispatch.is_some()),
                State::Running => {
                    prop_assert!(standing.wake_at.is_some() && standing.worker.is_some());
                    prop_assert!(standing.started_at.is_some());
                }
                _ => prop_assert!(standing.wake_at.is_none()),
            }
        }
    }
}

#[test]
fn a_clock_that_is_behind_the_job_is_no_trouble() {
    let job = crate::support::dispatched();
    let change = crate::support::step(&job, started(1, "w", -500), -20).unwrap();
    assert_eq!(change.standing.started_at, Some(at(0)));
    let job = crate::support::after(&job, Event::CancelAsked, -20);
    assert_eq!(job.standing.finished_at, Some(at(0)));
}
