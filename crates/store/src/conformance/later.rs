//! What happens later.

use std::collections::HashSet;
use std::time::Duration;

use clerkwork_core::{Event, JobId, State, UnixMs};

use super::fixture::Fixture;
use crate::NewJob;

pub async fn a_due_job_is_claimed_once(fixture: &mut Fixture) {
    let soon = UnixMs(fixture.now.0 + 1);
    let jobs: Vec<NewJob> = (0..200).map(|_| fixture.job_due(soon)).collect();
    let waiting = fixture.job();
    fixture.accept(&jobs).await;
    fixture.accept(&[waiting]).await;
    let until = soon.after(Duration::from_secs(60));
    assert!(
        fixture
            .store
            .claim_due(fixture.now, until, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let mut seen = HashSet::new();
    while seen.len() < jobs.len() {
        let (left, right) = tokio::join!(
            fixture.store.claim_due(soon, until, 30),
            fixture.store.claim_due(soon, until, 30)
        );
        let before = seen.len();
        for job in left.unwrap().into_iter().chain(right.unwrap()) {
            assert_eq!(job.standing.wake_at, Some(until));
            assert!(seen.insert(job.id), "{} is claimed twice", job.id);
        }
        assert!(seen.len() > before, "each round claims some");
    }
    assert!(
        fixture
            .store
            .claim_due(soon, until, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let id = jobs[0].job.id;
    fixture.now = soon;
    assert!(
        fixture.happens(id, Event::Due).await,
        "the claimed version is the one to change"
    );
    assert_eq!(fixture.get(id).await.standing.wake_at, None);
}

pub async fn claims_come_in_the_order_in_which_jobs_are_due(fixture: &mut Fixture) {
    let now = fixture.now;
    let due = |ms: i64| UnixMs(now.0 + ms);
    let jobs: Vec<NewJob> = [30, 10, 20]
        .into_iter()
        .map(|ms| fixture.job_due(due(ms)))
        .collect();
    fixture.accept(&jobs).await;
    let mut claimed = fixture.store.claim_due(due(99), due(999), 2).await.unwrap();
    claimed.extend(fixture.store.claim_due(due(99), due(999), 2).await.unwrap());
    let ids: Vec<JobId> = claimed.iter().map(|job| job.id).collect();
    assert_eq!(ids, [1, 2, 0].map(|at| jobs[at].job.id));
}

pub async fn the_walk_watches_dispatched_jobs_that_nobody_watches(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(3).await;
    let waiting = fixture.job();
    fixture.accept(std::slice::from_ref(&waiting)).await;
    let running = Event::Started {
        attempt: 1,
        worker: "w".into(),
        at: fixture.now,
    };
    assert!(fixture.happens(ids[1], running).await);
    let watched_before = fixture.get(ids[1]).await.standing.wake_at;
    let wake_at = UnixMs(fixture.now.0 + 60_000);
    let (from, to) = (
        JobId::first_of(fixture.now),
        JobId::first_of(UnixMs(fixture.now.0 + 1)),
    );
    assert_eq!(
        fixture
            .store
            .watch(to, JobId::first_of(wake_at), wake_at)
            .await
            .unwrap(),
        0
    );
    assert_eq!(fixture.store.watch(from, to, wake_at).await.unwrap(), 2);
    assert_eq!(fixture.store.watch(from, to, wake_at).await.unwrap(), 0);
    assert_eq!(fixture.get(ids[0]).await.standing.wake_at, Some(wake_at));
    assert_eq!(fixture.get(ids[1]).await.standing.wake_at, watched_before);
    assert_eq!(fixture.get(waiting.job.id).await.standing.wake_at, None);
}

pub async fn what_is_out_is_found_page_by_page(fixture: &mut Fixture) {
    let mut ids = fixture.accept_dispatched(5).await;
    ids.sort_unstable();
    fixture.accept(&[fixture.job()]).await;
    assert!(fixture.happens(ids[4], Event::CancelAsked).await);
    let started = Event::Started {
        attempt: 1,
        worker: "w".into(),
        at: fixture.now,
    };
    assert!(fixture.happens(ids[1], started).await);
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = fixture.store.out(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page);
    }
    assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), ids[..4]);
    assert_eq!(found[1].standing.state, State::Running);
}

pub async fn what_is_dispatched_and_not_started_is_found_by_its_queue(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(5).await;
    fixture.accept(&[fixture.job()]).await;
    let worker: std::sync::Arc<str> = "w".into();
    let started = Event::Started {
        attempt: 1,
        worker: worker.clone(),
        at: fixture.now,
    };
    assert!(fixture.happens(ids[0], started).await);
    let listed = Event::Listed { attempt: 1, worker };
    assert!(fixture.happens(ids[1], listed).await);
    assert!(fixture.happens(ids[2], Event::CancelAsked).await);
    // One that is watched is found however old it is.
    let watched = Event::Watched {
        wake_at: UnixMs(fixture.now.0 + 60_000),
        unlisted: false,
    };
    assert!(fixture.happens(ids[3], watched).await);
    let queue = fixture.get(ids[0]).await.queue;
    let found = async |queue: &clerkwork_core::QueueName, recent: i64, after, limit| {
        let recent = JobId::first_of(UnixMs(recent));
        let jobs = fixture.store.dispatched(queue, recent, after, limit);
        let jobs = jobs.await.unwrap();
        jobs.iter().map(|job| job.id).collect::<Vec<JobId>>()
    };
    let mut all = [ids[1], ids[3], ids[4]];
    all.sort_unstable();
    let now = fixture.now.0;
    assert_eq!(found(&queue, now, None, 10).await, all);
    assert_eq!(found(&queue, now, None, 1).await, all[..1]);
    assert_eq!(found(&queue, now, Some(all[0]), 10).await, all[1..]);
    assert!(found(&queue, now + 1, None, 10).await.contains(&ids[3]));
    let other = "other".parse().unwrap();
    assert!(found(&other, now, None, 10).await.is_empty());
}
