//! Queues.

use clerkwork_core::{Event, UnixMs};

use super::fixture::{Fixture, queue, success};
use crate::{KnownQueue, QueueDeletion, QueueStats};

pub async fn queues_are_declared_once_and_paused(fixture: &mut Fixture) {
    let (a, b) = (queue("a"), queue("b"));
    let store = &fixture.store;
    let new = store
        .declare_queues(&[b.clone(), a.clone()], fixture.now)
        .await
        .unwrap();
    assert_eq!(new.len(), 2);
    let new = store
        .declare_queues(&[a.clone(), queue("c")], fixture.now)
        .await
        .unwrap();
    assert_eq!(new, [queue("c")]);
    assert!(store.pause_queue(&b, true).await.unwrap());
    assert!(!store.pause_queue(&queue("unknown"), true).await.unwrap());
    let known = |name: &str, paused| KnownQueue {
        name: queue(name),
        paused,
    };
    let all = [known("a", false), known("b", true), known("c", false)];
    assert_eq!(store.queues().await.unwrap(), all);
    assert!(store.pause_queue(&b, false).await.unwrap());
    assert!(
        store
            .queues()
            .await
            .unwrap()
            .iter()
            .all(|queue| !queue.paused)
    );
}

pub async fn a_queue_is_deleted_only_without_unfinished_jobs(fixture: &mut Fixture) {
    let (now, names) = (fixture.now, [queue("render"), queue("other")]);
    fixture.store.declare_queues(&names, now).await.unwrap();
    let (waiting, due_later) = (fixture.job_due(now), fixture.job_due(UnixMs(now.0 + 9_000)));
    for job in [waiting, due_later] {
        let id = job.job.id;
        fixture.accept(&[job]).await;
        let deleted = fixture.store.delete_queue(&names[0], now).await.unwrap();
        assert_eq!(deleted, QueueDeletion::Unfinished);
        assert!(fixture.happens(id, Event::CancelAsked).await);
    }
    let out = fixture.accept_dispatched(1).await[0];
    let deleted = fixture.store.delete_queue(&names[0], now).await.unwrap();
    assert_eq!(deleted, QueueDeletion::Unfinished);
    let succeeded = fixture.recorder.succeed(&[success(out)], now).await;
    succeeded.unwrap();
    for expected in [QueueDeletion::Deleted, QueueDeletion::Unknown] {
        let deleted = fixture.store.delete_queue(&names[0], now).await.unwrap();
        assert_eq!(deleted, expected);
    }
    let left = fixture.store.queues().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, names[1]);
    let again = fixture.store.declare_queues(&names[..1], now).await;
    assert_eq!(again.unwrap(), names[..1], "it is new once more");
}

pub async fn the_counts_of_a_queue_are_those_of_its_jobs(fixture: &mut Fixture) {
    let now = fixture.now;
    let names = [queue("render"), queue("other")];
    fixture.store.declare_queues(&names, now).await.unwrap();
    let mut within = fixture.job_due(UnixMs(now.0 - 50));
    within.job.spec.start_within_s = Some(60);
    within.job.standing.wake_at = within.job.start_by();
    let jobs = [
        within,
        fixture.job_due(UnixMs(now.0 - 100)),
        fixture.job_due(UnixMs(now.0 + 9_000)),
    ];
    fixture.accept(&jobs).await;
    let ids = fixture.accept_dispatched(6).await;
    let started = Event::Started {
        attempt: 1,
        worker: "w".into(),
        at: now,
    };
    assert!(fixture.happens(ids[0], started).await);
    assert!(fixture.happens(ids[1], Event::CancelAsked).await);
    fixture
        .recorder
        .succeed(&[success(ids[2])], now)
        .await
        .unwrap();
    let watched = Event::Watched {
        wake_at: UnixMs(now.0 + 1),
        unlisted: false,
    };
    assert!(fixture.happens(ids[3], watched).await);
    let stats = |at: usize, queued, running, scheduled, oldest_due_at| QueueStats {
        queue: KnownQueue {
            name: names[at].clone(),
            paused: false,
        },
        queued,
        running,
        scheduled,
        oldest_due_at,
    };
    let render = stats(0, 5, 1, 1, Some(UnixMs(now.0 - 100)));
    let all = fixture.store.queue_stats(None, now).await.unwrap();
    assert_eq!(all, [stats(1, 0, 0, 0, None), render.clone()]);
    let unfinished = fixture.store.unfinished(now).await.unwrap();
    assert_eq!(unfinished, [("default".to_owned(), 7)]);
    let one = fixture
        .store
        .queue_stats(Some(&names[0]), now)
        .await
        .unwrap();
    assert_eq!(one, [render]);
    let none = queue("none");
    let none = fixture.store.queue_stats(Some(&none), now).await;
    assert!(none.unwrap().is_empty());
}

pub async fn the_backlog_tells_the_oldest_of_each_queue(fixture: &mut Fixture) {
    assert!(fixture.store.backlog().await.unwrap().is_empty());
    let now = fixture.now;
    let mut jobs = Vec::new();
    for (name, ms) in [("b", 10), ("a", 20), ("b", 30), ("b", -5), ("c", 1)] {
        let mut new = fixture.job_due(UnixMs(now.0 - ms));
        new.job.queue = queue(name);
        jobs.push(new);
    }
    fixture.accept(&jobs).await;
    fixture.accept_dispatched(1).await;
    let backlog = fixture.store.backlog().await.unwrap();
    let found: Vec<_> = backlog
        .iter()
        .map(|one| (one.queue.as_str(), now.0 - one.oldest_due_at.0))
        .collect();
    assert_eq!(found, [("a", 20), ("b", 30), ("c", 1)]);
}
