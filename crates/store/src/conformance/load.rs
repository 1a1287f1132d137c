//! Storage is given back while jobs come in and end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clerkwork_core::{Event, JobId, Standing, State, UnixMs};

use super::fixture::{Fixture, success};
use crate::{Accepted, Key, NewJob, Succeeded};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a commit may wait for whoever gives back, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// The jobs of one commit.
const BATCH: usize = 10;
/// How many come in at least.
const LEAST: usize = 50 * BATCH;

/// Accepts and ends jobs while `work` is done, and for a while more; all of them end well, and each
/// commit within bounds.
async fn under_load(fixture: &mut Fixture, work: impl Future<Output = ()>) {
    let done = AtomicBool::new(false);
    let template = fixture.dispatched();
    let now = fixture.now;
    let (writer, recorder) = (&mut fixture.writer, &mut fixture.recorder);
    let load = async {
        let mut ids: Vec<JobId> = Vec::new();
        while ids.len() < LEAST || !done.load(Ordering::Relaxed) {
            let jobs: Vec<NewJob> = (0..BATCH)
                .map(|at| fresh(&template, ids.len() + at, now))
                .collect();
            let begun = Instant::now();
            let answers = writer.accept(&jobs).await.unwrap();
            assert_eq!(answers, vec![Accepted::New; BATCH]);
            let successes: Vec<_> = jobs.iter().map(|new| success(new.job.id)).collect();
            let answers = recorder.succeed(&successes, now).await.unwrap();
            let recorded = |answer: &Succeeded| matches!(answer, Succeeded::Recorded(_));
            assert!(answers.iter().all(recorded), "{answers:?}");
            let took = begun.elapsed();
            assert!(took < PATIENCE, "accepted and ended in {took:?}");
            ids.extend(jobs.iter().map(|new| new.job.id));
        }
        ids
    };
    let work = async {
        work.await;
        done.store(true, Ordering::Relaxed);
    };
    let (ids, ()) = tokio::join!(load, work);
    for ids in ids.chunks(500) {
        let kept = fixture.store.get(None, ids, 0).await.unwrap();
        assert_eq!(kept.len(), ids.len(), "none is lost");
        let ended = |kept: &crate::Kept| kept.job.standing.state == State::Succeeded;
        assert!(kept.iter().all(ended));
    }
}

/// A dispatched job of this moment; every other one claims a key.
fn fresh(template: &NewJob, number: usize, now: UnixMs) -> NewJob {
    let mut new = template.clone();
    let standing = &template.job.standing;
    new.job.id = JobId::at(now);
    new.job.created_at = now;
    new.job.standing = Standing {
        state: State::Dispatched,
        attempt: 1,
        dispatch: standing.dispatch,
        ..Standing::new(now, now)
    };
    new.key = number.is_multiple_of(2).then(|| key(number));
    new
}

fn key(number: usize) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Key {
        key,
        fingerprint: key,
    }
}

pub async fn jobs_come_in_and_end_while_days_are_given_back(fixture: &mut Fixture) {
    let accepted = fixture.now;
    let done = fixture.accept_dispatched(200).await;
    let successes: Vec<_> = done.iter().copied().map(success).collect();
    fixture
        .recorder
        .succeed(&successes, accepted)
        .await
        .unwrap();
    let far = fixture.job_due(UnixMs(accepted.0 * 2));
    fixture.accept(std::slice::from_ref(&far)).await;

    // The day is compacted: one job of it is not done.
    let later = accepted.after(9 * DAY);
    fixture.now = later;
    // Makes the days in which the load's jobs are.
    fixture.store.prune(later, 100 * DAY).await.unwrap();
    let store = fixture.store.clone();
    let give_back = async |jobs: u64| {
        let (mut gone, end) = (0, Instant::now() + Duration::from_secs(60));
        while gone < jobs {
            assert!(Instant::now() < end, "{gone} of {jobs} are gone");
            gone += store.prune(later, RETENTION).await.unwrap();
        }
        assert_eq!(gone, jobs);
    };
    under_load(fixture, give_back(200)).await;
    let gone = store.get(None, &done, 0).await.unwrap();
    assert!(gone.is_empty());
    assert_eq!(fixture.get(far.job.id).await.spec, far.job.spec);

    // And dropped, once that one is done for long enough, too.
    fixture.now = accepted;
    assert!(fixture.happens(far.job.id, Event::CancelAsked).await);
    fixture.now = later;
    under_load_again(fixture, give_back(1)).await;
    assert!(store.get(None, &[far.job.id], 0).await.unwrap().is_empty());
}

/// The same two days later, when the keys are free again.
async fn under_load_again(fixture: &mut Fixture, work: impl Future<Output = ()>) {
    fixture.now = fixture.now.after(2 * DAY);
    fixture.store.prune(fixture.now, 100 * DAY).await.unwrap();
    under_load(fixture, work).await;
}

pub async fn keys_are_claimed_while_those_of_the_day_before_yesterday_go(fixture: &mut Fixture) {
    let noon = fixture.now.0 - fixture.now.0.rem_euclid(86_400_000) + 43_200_000;
    let (noon, old) = (UnixMs(noon).after(3 * DAY), UnixMs(noon).after(DAY));
    fixture.store.prune(old, RETENTION).await.unwrap();
    fixture.store.prune(noon, RETENTION).await.unwrap();
    let template = fixture.dispatched();
    let jobs: Vec<NewJob> = (0..100)
        .map(|number| fresh(&template, 1_000_000 + number, old))
        .collect();
    fixture.accept(&jobs).await;
    let first = jobs[0].key.clone().unwrap();
    let store = fixture.store.clone();
    let claimed = store.claimed(&first, old).await.unwrap();
    assert_eq!(claimed, Some(Accepted::Replayed(jobs[0].job.id)));

    fixture.now = noon;
    let forget = async {
        let end = Instant::now() + Duration::from_secs(60);
        while store.claimed(&first, old).await.unwrap().is_some() {
            assert!(Instant::now() < end, "the keys are still there");
            store.prune(noon, RETENTION).await.unwrap();
        }
    };
    under_load(fixture, forget).await;
    // The load's own keys are there.
    let claimed = store.claimed(&key(0), noon).await.unwrap();
    assert!(
        matches!(claimed, Some(Accepted::Replayed(_))),
        "{claimed:?}"
    );
}
