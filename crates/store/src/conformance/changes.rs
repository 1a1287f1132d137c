//! Changes that the state machine decided.

use bytes::Bytes;
use clerkwork_core::{Event, Failure, JobId, Reply, Retry, State, UnixMs, transition};

use super::fixture::{Fixture, next_id, queue};
use crate::{INLINE, NewJob};

fn failed(attempt: u32, retry: Retry, now: UnixMs) -> Event {
    let mut failure = Failure::new(Failure::HANDLER_ERROR, "a\0b".to_owned(), attempt);
    failure.data = Some(serde_json::value::to_raw_value(&[1, 2]).unwrap());
    let reply = Reply::Failed { failure, retry };
    Event::Replied {
        attempt,
        reply,
        worker: Some("w".into()),
        started_at: Some(now),
    }
}

pub async fn a_change_is_stored_as_it_was_decided(fixture: &mut Fixture) {
    let now = fixture.now;
    let started = Event::Started {
        attempt: 1,
        worker: "w".into(),
        at: now,
    };
    let ways = vec![
        vec![Event::Listed {
            attempt: 1,
            worker: "w".into(),
        }],
        vec![started.clone()],
        vec![
            started.clone(),
            Event::Held {
                attempt: 1,
                worker: "w".into(),
                started_at: now,
            },
        ],
        vec![
            started.clone(),
            Event::Watched {
                wake_at: UnixMs(now.0 + 1),
                unlisted: true,
            },
        ],
        vec![started.clone(), Event::CancelAsked],
        vec![Event::CancelAsked],
        vec![Event::Doubted { attempt: 1 }],
        vec![started, Event::Lost { attempt: 1 }],
        vec![failed(1, Retry::AfterMs(5), now), Event::Due],
        vec![failed(1, Retry::Never, now)],
    ];
    for way in ways {
        let new = fixture.dispatched();
        let id = new.job.id;
        fixture.accept(&[new]).await;
        for event in way {
            let before = fixture.load(id).await;
            let change = transition(&before, event, &fixture.moment()).unwrap();
            let applied = fixture
                .recorder
                .apply(std::slice::from_ref(&change))
                .await
                .unwrap();
            assert_eq!(applied, [true]);
            assert_eq!(fixture.load(id).await.standing, change.standing);
            fixture.now = UnixMs(fixture.now.0 + 10);
        }
        let job = fixture.get(id).await;
        assert_eq!(job.failure.is_some(), job.standing.state == State::Failed);
        if let Some(failure) = job.failure {
            // PostgreSQL has no NUL in texts.
            assert_eq!(failure.detail.as_deref(), Some("a\u{fffd}b"));
            assert_eq!(failure.data.unwrap().get(), "[1,2]");
        }
    }
}

pub async fn a_change_decided_on_an_older_version_changes_nothing(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(3).await;
    let moment = fixture.moment();
    let mut decided = Vec::new();
    for id in &ids {
        let job = fixture.load(*id).await;
        decided.push(transition(&job, Event::CancelAsked, &moment).unwrap());
    }
    assert!(fixture.happens(ids[0], Event::Doubted { attempt: 1 }).await);
    let looked = Event::Watched {
        wake_at: fixture.now,
        unlisted: false,
    };
    assert!(fixture.happens(ids[1], looked).await);
    let mut gone = decided[2].clone();
    gone.id = JobId::at(fixture.now);
    decided.insert(2, gone);
    let applied = fixture.recorder.apply(&decided).await.unwrap();
    assert_eq!(applied, [false, false, false, true]);
    assert_eq!(fixture.get(ids[0]).await.standing.state, State::Queued);
    assert_eq!(fixture.get(ids[1]).await.standing.state, State::Dispatched);
    assert_eq!(fixture.store.cancels(0, 10).await.unwrap().len(), 1);
    assert!(fixture.recorder.apply(&[]).await.unwrap().is_empty());
}

pub async fn a_large_output_may_come_by_a_change(fixture: &mut Fixture) {
    let id = fixture.accept_dispatched(1).await[0];
    let output = Bytes::from(vec![0; 3 * INLINE]);
    let reply = Reply::Succeeded {
        media_type: "a\0b".to_owned(),
        output: output.clone(),
    };
    let event = Event::Replied {
        attempt: 1,
        reply,
        worker: Some("\0".into()),
        started_at: None,
    };
    assert!(fixture.happens(id, event).await);
    let blob = fixture.store.output(None, id).await.unwrap().unwrap();
    assert!(blob.bytes == output, "the whole output");
    assert_eq!(blob.content.media_type, "a\u{fffd}b");
    assert_eq!(
        fixture.get(id).await.standing.worker.as_deref(),
        Some("\u{fffd}")
    );
}

pub async fn attempts_that_ended_are_kept_in_order(fixture: &mut Fixture) {
    let id = fixture.accept_dispatched(1).await[0];
    assert!(fixture.store.attempts(id).await.unwrap().is_empty());
    let now = fixture.now;
    assert!(fixture.happens(id, failed(1, Retry::AfterMs(0), now)).await);
    let dispatch = fixture.dispatch(2);
    assert!(
        fixture
            .happens(
                id,
                Event::Dispatched {
                    dispatch,
                    wake_at: None
                }
            )
            .await
    );
    let reply = Reply::Returned;
    let event = Event::Replied {
        attempt: 2,
        reply,
        worker: None,
        started_at: None,
    };
    assert!(fixture.happens(id, event).await);
    let attempts = fixture.store.attempts(id).await.unwrap();
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(attempts[0].worker.as_deref(), Some("w"));
    assert_eq!(
        attempts[0].failure.as_ref().unwrap().kind,
        Failure::HANDLER_ERROR
    );
    assert_eq!(
        (attempts[0].started_at, attempts[0].finished_at),
        (Some(now), Some(now))
    );
    assert!(attempts[1].failure.is_none());
    assert!(
        fixture
            .store
            .attempts(JobId::at(now))
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_cancel_of_a_dispatched_job_is_kept_until_it_is_forgotten(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(3).await;
    let waiting = fixture.job();
    fixture.accept(std::slice::from_ref(&waiting)).await;
    for id in ids.iter().chain([&waiting.job.id]) {
        assert!(fixture.happens(*id, Event::CancelAsked).await);
    }
    let cancels = fixture.store.cancels(0, 2).await.unwrap();
    let rest = fixture.store.cancels(cancels[1].seq, 10).await.unwrap();
    let all: Vec<_> = cancels.iter().chain(&rest).collect();
    assert_eq!(all.iter().map(|cancel| cancel.job).collect::<Vec<_>>(), ids);
    assert!(
        all.iter()
            .all(|cancel| cancel.attempt == 1 && cancel.queue == queue("render"))
    );
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    fixture
        .recorder
        .forget_cancels(&[(ids[0], 1), (ids[1], 2), (ids[2], 1)])
        .await
        .unwrap();
    let left = fixture.store.cancels(0, 10).await.unwrap();
    assert_eq!(
        left.iter().map(|cancel| cancel.job).collect::<Vec<_>>(),
        ids[1..2]
    );
    fixture.recorder.forget_cancels(&[]).await.unwrap();
}

pub async fn the_cancels_of_a_queue_are_read_page_by_page(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..6).map(|_| fixture.dispatched()).collect();
    for new in jobs.iter_mut().step_by(2) {
        new.job.queue = queue("other");
    }
    fixture.accept(&jobs).await;
    for new in &jobs {
        assert!(fixture.happens(new.job.id, Event::CancelAsked).await);
    }
    let (store, other) = (fixture.store.clone(), queue("other"));
    let mut cancels = store.queue_cancels(&other, 0, 2).await.unwrap();
    assert_eq!(cancels.len(), 2);
    cancels.extend(
        store
            .queue_cancels(&other, cancels[1].seq, 10)
            .await
            .unwrap(),
    );
    let found: Vec<_> = cancels.iter().map(|cancel| cancel.job).collect();
    let theirs = jobs.iter().step_by(2);
    assert_eq!(found, theirs.map(|new| new.job.id).collect::<Vec<_>>());
    let none = store.queue_cancels(&queue("none"), 0, 10).await.unwrap();
    assert_eq!(none, []);
}

pub async fn a_purge_follows_the_state_machine(fixture: &mut Fixture) {
    let doubted = fixture.accept_dispatched(1).await[0];
    assert!(
        fixture
            .happens(doubted, Event::Doubted { attempt: 1 })
            .await
    );
    let fresh = fixture.job();
    let later = fixture.job_due(UnixMs(fixture.now.0 + 1_000));
    fixture.accept(&[fresh.clone(), later.clone()]).await;
    let mut decided = Vec::new();
    for id in [doubted, fresh.job.id, later.job.id] {
        let job = fixture.load(id).await;
        decided.push(transition(&job, Event::CancelAsked, &fixture.moment()).unwrap());
    }
    let render = queue("render");
    let purged = fixture
        .recorder
        .purge(&render, next_id(fixture.now), fixture.now, 10)
        .await;
    let mut purged = purged.unwrap();
    purged.sort_unstable();
    let mut changed: Vec<_> = decided
        .iter()
        .map(|change| (change.id, change.standing.rev))
        .collect();
    changed.sort_unstable();
    assert_eq!(purged, changed);
    for change in &decided {
        assert_eq!(fixture.load(change.id).await.standing, change.standing);
    }
    // A doubted dispatch may still be on its way to a worker, which must be told.
    let kept = fixture.store.cancels(0, 10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|kept| (kept.job, kept.attempt)).collect();
    assert_eq!(kept, [(doubted, 1)]);
}

pub async fn a_purge_leaves_what_was_accepted_after_it_began(fixture: &mut Fixture) {
    let began = fixture.now;
    let old = [fixture.job(), fixture.job_due(UnixMs(began.0 + 60_000))];
    fixture.accept(&old).await;
    fixture.now = UnixMs(began.0 + 1);
    let young = [
        fixture.job_due(UnixMs(began.0 - 5)),
        fixture.job_due(UnixMs(began.0 + 60_000)),
    ];
    fixture.accept(&young).await;
    let render = queue("render");
    for expected in [2, 0] {
        let purged = fixture
            .recorder
            .purge(&render, next_id(began), fixture.now, 10);
        assert_eq!(purged.await.unwrap().len(), expected);
    }
    for new in &old {
        assert!(fixture.get(new.job.id).await.is_done());
    }
    for new in &young {
        assert!(!fixture.get(new.job.id).await.is_done());
    }
}

pub async fn purging_a_hundred_thousand_jobs_takes_few_calls(fixture: &mut Fixture) {
    let mut other = fixture.job();
    other.job.queue = queue("other");
    let out = fixture.dispatched();
    let later = fixture.job_due(UnixMs(fixture.now.0 + 1_000));
    fixture
        .accept(&[other.clone(), out.clone(), later.clone()])
        .await;
    let mut waiting = 1;
    for _ in 0..50 {
        let jobs: Vec<NewJob> = (0..2_000).map(|_| fixture.job()).collect();
        fixture.accept(&jobs).await;
        waiting += jobs.len();
    }
    let mut purged = Vec::new();
    let mut calls = 0;
    while purged.len() < waiting {
        purged.extend(
            fixture
                .recorder
                .purge(&queue("render"), next_id(fixture.now), fixture.now, 10_000)
                .await
                .unwrap(),
        );
        calls += 1;
        assert!(calls <= 11, "{} purged after {calls} calls", purged.len());
    }
    assert!(purged.iter().all(|(_, rev)| *rev == 2));
    for (id, state) in [
        (other.job.id, State::Queued),
        (out.job.id, State::Dispatched),
        (later.job.id, State::Cancelled),
        (purged[0].0, State::Cancelled),
    ] {
        assert_eq!(fixture.get(id).await.standing.state, state);
    }
    let none = fixture
        .recorder
        .purge(&queue("render"), next_id(fixture.now), fixture.now, 10)
        .await
        .unwrap();
    assert!(none.is_empty());
}
