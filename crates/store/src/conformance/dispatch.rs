//! The backlog is handed out.

use std::collections::HashSet;

use clerkwork_core::{Event, JobId, UnixMs, transition};

use super::fixture::{Fixture, queue};
use super::intake::{bodies, with_input};
use crate::{HandOut, NewJob};

fn order(fixture: &Fixture, limit: u32, first_number: i64) -> HandOut {
    HandOut {
        queue: queue("render"),
        limit,
        first_number,
        now: fixture.now,
        wake_at: UnixMs(fixture.now.0 + 60_000),
    }
}

pub async fn the_backlog_is_handed_out_in_its_order_and_within_its_limit(fixture: &mut Fixture) {
    let now = fixture.now;
    let due = |ms: i64| UnixMs(now.0 - ms);
    let jobs: Vec<NewJob> = [5, 30, 10, 20]
        .into_iter()
        .map(|ms| fixture.job_due(due(ms)))
        .collect();
    let mut other = fixture.job();
    other.job.queue = queue("other");
    let late = fixture.job_due(UnixMs(fixture.now.0 + 1));
    fixture.accept(&jobs).await;
    fixture.accept(&[other, late]).await;
    let mut taken = Vec::new();
    for first_number in [1, 4] {
        let order = order(fixture, 3, first_number);
        taken.extend(fixture.writer.hand_out(&order).await.unwrap());
    }
    let ids: Vec<JobId> = taken.iter().map(|taken| taken.job.id).collect();
    assert_eq!(ids, [1, 3, 2, 0].map(|at| jobs[at].job.id));
    let dispatches: Vec<_> = taken
        .iter()
        .map(|one| one.job.standing.dispatch.unwrap())
        .collect();
    assert_eq!(
        dispatches,
        [1, 2, 3, 4].map(|number| fixture.dispatch(number))
    );
}

pub async fn a_paused_queue_hands_nothing_out(fixture: &mut Fixture) {
    let (store, name) = (fixture.store.clone(), queue("render"));
    let declared = store.declare_queues(std::slice::from_ref(&name), fixture.now);
    declared.await.unwrap();
    let job = fixture.job();
    fixture.accept(&[job]).await;
    let order = order(fixture, 5, 1);
    for (paused, jobs) in [(true, 0), (false, 1)] {
        store.pause_queue(&name, paused).await.unwrap();
        let taken = fixture.writer.hand_out(&order).await.unwrap();
        assert_eq!(taken.len(), jobs, "paused: {paused}");
    }
}

pub async fn two_writers_are_never_handed_the_same_job(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = (0..200).map(|_| fixture.job()).collect();
    fixture.accept(&jobs).await;
    let mut other = fixture.store.writer("other").await.unwrap();
    let mut seen = HashSet::new();
    let mut number = 1;
    while seen.len() < jobs.len() {
        let order = order(fixture, 15, number);
        number += 15;
        let (left, right) = tokio::join!(fixture.writer.hand_out(&order), other.hand_out(&order));
        let taken = left.unwrap().into_iter().chain(right.unwrap());
        let before = seen.len();
        for taken in taken {
            assert!(seen.insert(taken.job.id), "{} twice", taken.job.id);
        }
        assert!(seen.len() > before, "each round takes some");
    }
}

pub async fn a_handed_out_job_brings_its_input(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = bodies()
        .into_iter()
        .map(|body| with_input(fixture.job(), body))
        .collect();
    fixture.accept(&jobs).await;
    let taken = fixture
        .writer
        .hand_out(&order(fixture, 100, 1))
        .await
        .unwrap();
    assert_eq!(taken.len(), jobs.len());
    for taken in taken {
        let new = jobs.iter().find(|new| new.job.id == taken.job.id).unwrap();
        assert!(taken.input == new.input, "{} bytes", new.input.len());
    }
}

pub async fn handing_out_follows_the_state_machine(fixture: &mut Fixture) {
    let new = fixture.dispatched();
    let mut within = fixture.job();
    within.job.spec.start_within_s = Some(60);
    within.job.standing.wake_at = within.job.start_by();
    let doubted = fixture
        .brought(new, vec![Event::Doubted { attempt: 1 }])
        .await;
    let within = fixture.brought(within, vec![]).await;
    let order = order(fixture, 10, 7);
    let taken = fixture.writer.hand_out(&order).await.unwrap();
    assert_eq!(taken.len(), 2);
    for before in [doubted, within] {
        let after = taken
            .iter()
            .find(|taken| taken.job.id == before.id)
            .unwrap();
        let dispatch = after.job.standing.dispatch.unwrap();
        let event = Event::Dispatched {
            dispatch,
            wake_at: Some(order.wake_at),
        };
        let change = transition(&before, event, &fixture.moment()).unwrap();
        assert_eq!(after.job.standing, change.standing);
        assert_eq!(fixture.get(before.id).await.standing, change.standing);
    }
}
