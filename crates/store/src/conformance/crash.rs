//! Crashes, and futures that are dropped half-way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use clerkwork_core::{Event, JobId, State, UnixMs, transition};

use super::fixture::{Fixture, next_id, queue, success};
use super::intake::with_input;
use super::list::listed;
use crate::{Error, Filter, HandOut, INLINE, Key, NewJob};

pub async fn a_crash_loses_nothing_that_was_accepted(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..200).map(|_| fixture.dispatched()).collect();
    jobs[7] = with_input(jobs[7].clone(), Bytes::from(vec![1; 10 * INLINE]));
    for batch in jobs.chunks(20) {
        fixture.accept(batch).await;
    }
    let done: Vec<_> = jobs[..50].iter().map(|new| success(new.job.id)).collect();
    fixture.recorder.succeed(&done, fixture.now).await.unwrap();
    let old = fixture.clerk();
    fixture.crash().await;
    assert_ne!(fixture.clerk(), old, "incarnations are never reused");
    for (at, new) in jobs.iter().enumerate() {
        let expected = if at < 50 {
            State::Succeeded
        } else {
            State::Dispatched
        };
        assert_eq!(fixture.get(new.job.id).await.standing.state, expected);
        let input = fixture
            .store
            .input(None, new.job.id)
            .await
            .unwrap()
            .unwrap();
        assert!(input.bytes == new.input, "the input of job {at}");
    }
    let out = fixture.store.out(None, 1_000).await.unwrap();
    assert_eq!(out.len(), 150);
}

/// Drops a future after so many polls; whether it was done by then.
pub(super) async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Whether every one of several futures was done by then.
pub(super) fn all_done(done: &[bool]) -> bool {
    done.iter().all(|done| *done)
}

pub async fn dropped_futures_leave_nothing_half_done(fixture: &mut Fixture) {
    for polls in 0..200 {
        let mut done = cut_writer(fixture, polls).await;
        done.extend(cut_recorder(fixture, polls).await);
        done.extend(cut_store(fixture, polls).await);
        let fresh = fixture.job();
        let answer = fixture.writer.accept(std::slice::from_ref(&fresh)).await;
        if let Err(error) = answer {
            assert!(matches!(error, Error::Unavailable(_)), "{error}");
            fixture.writer = fixture.store.writer("clerk").await.unwrap();
            fixture.accept(std::slice::from_ref(&fresh)).await;
        }
        fixture.get(fresh.job.id).await;
        if fixture.recorder.load(&[fresh.job.id]).await.is_err() {
            fixture.recorder = fixture.store.recorder().await.unwrap();
        }
        assert!(fixture.happens(fresh.job.id, Event::CancelAsked).await);
        if all_done(&done) {
            return;
        }
    }
    panic!("200 polls are enough for everything");
}

/// Drops what a writer does; whatever of it was stored is whole.
async fn cut_writer(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    let mut plain = fixture.dispatched();
    plain.job.spec.tags = vec!["cut".parse().unwrap()];
    let plain = with_input(plain, Bytes::from(vec![1; 2 * INLINE]));
    let mut keyed = plain.clone();
    keyed.job.id = JobId::at(fixture.now);
    let mut key = [0; 32];
    key[..8].copy_from_slice(&polls.to_be_bytes());
    keyed.key = Some(Key {
        key,
        fingerprint: key,
    });
    let mut done = Vec::new();
    for new in [plain, keyed] {
        let jobs = [new];
        done.push(cut(fixture.writer.accept(&jobs), polls).await.is_some());
        let id = jobs[0].job.id;
        if let Some(kept) = fixture.store.get(None, &[id], 0).await.unwrap().first() {
            let input = fixture.store.input(None, id).await.unwrap().unwrap();
            assert!(input.bytes == jobs[0].input, "a job comes with its input");
            let tagged = Filter {
                tag: Some(kept.job.spec.tags[0].clone()),
                limit: 1_000,
                ..Filter::default()
            };
            let listed = listed(&*fixture.store, "default", &tagged).await;
            assert!(
                listed.iter().any(|kept| kept.job.id == id),
                "a job comes with its tags"
            );
        }
        fixture.writer = fixture.store.writer("clerk").await.unwrap();
    }
    let order = HandOut {
        queue: queue("render"),
        limit: 5,
        first_number: 1,
        now: fixture.now,
        wake_at: UnixMs(fixture.now.0 + 60_000),
    };
    done.push(cut(fixture.writer.hand_out(&order), polls).await.is_some());
    done.push(cut(fixture.store.writer("clerk"), polls).await.is_some());
    done
}

/// Drops what a recorder does; whatever of it was stored is whole.
async fn cut_recorder(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    fixture.writer = fixture.store.writer("clerk").await.unwrap();
    let ids = fixture.accept_dispatched(3).await;
    let mut large = success(ids[0]);
    large.output = Bytes::from(vec![2; 2 * INLINE]);
    let batch = [large, success(ids[1])];
    let now = fixture.now;
    let mut done = vec![
        cut(fixture.recorder.succeed(&batch, now), polls)
            .await
            .is_some(),
    ];
    let first = fixture.get(ids[0]).await;
    let second = fixture.get(ids[1]).await;
    if first.is_done() && second.is_done() {
        let output = fixture.store.output(None, ids[0]).await.unwrap().unwrap();
        assert!(
            output.bytes == batch[0].output,
            "a success comes with its output"
        );
    }
    fixture.recorder = fixture.store.recorder().await.unwrap();
    let job = fixture.load(ids[2]).await;
    let change = transition(&job, Event::CancelAsked, &fixture.moment()).unwrap();
    done.push(
        cut(fixture.recorder.apply(&[change]), polls)
            .await
            .is_some(),
    );
    if fixture.get(ids[2]).await.is_done() {
        let cancels = fixture.store.cancels(0, 10_000).await.unwrap();
        assert!(
            cancels.iter().any(|cancel| cancel.job == ids[2]),
            "a cancel is known of"
        );
    }
    fixture.recorder = fixture.store.recorder().await.unwrap();
    done.push(
        cut(
            fixture
                .recorder
                .purge(&queue("none"), next_id(now), now, 10),
            polls,
        )
        .await
        .is_some(),
    );
    fixture.recorder = fixture.store.recorder().await.unwrap();
    done.push(
        cut(fixture.recorder.delete("default", &ids, now), polls)
            .await
            .is_some(),
    );
    fixture.recorder = fixture.store.recorder().await.unwrap();
    done
}

async fn cut_store(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    let id = fixture.accept_dispatched(1).await[0];
    let store = fixture.store.clone();
    let now = fixture.now;
    let all = Filter {
        limit: 10,
        ..Filter::default()
    };
    vec![
        cut(store.get(None, &[id], 0), polls).await.is_some(),
        cut(store.input(None, id), polls).await.is_some(),
        cut(store.list("default", &all), polls).await.is_some(),
        cut(store.claim_due(now, UnixMs(now.0 + 1), 10), polls)
            .await
            .is_some(),
        cut(store.backlog(), polls).await.is_some(),
        cut(store.declare_queues(&[queue("cut")], now), polls)
            .await
            .is_some(),
        cut(store.queue_stats(None, now), polls).await.is_some(),
        cut(store.keep_workers(&[]), polls).await.is_some(),
        cut(store.secrets(), polls).await.is_some(),
        cut(store.take_over(fixture.clerk(), UnixMs(0), now), polls)
            .await
            .is_some(),
    ]
}
