//! Idempotency keys.

use clerkwork_core::clock::DAY_MS;
use clerkwork_core::{Event, JobId, UnixMs};

use super::fixture::Fixture;
use crate::{Accepted, Key, NewJob};

fn keyed(fixture: &Fixture, key: u8, words: u8) -> NewJob {
    let mut new = fixture.job();
    new.key = Some(Key {
        key: [key; 32],
        fingerprint: [words; 32],
    });
    new
}

/// The same request on the day `days` later.
fn later(mut new: NewJob, days: i64) -> NewJob {
    new.job.created_at = UnixMs(new.job.created_at.0 + days * DAY_MS);
    new.job.id = JobId::at(new.job.created_at);
    new
}

pub async fn a_key_answers_with_its_job_or_refuses_other_words(fixture: &mut Fixture) {
    let first = keyed(fixture, 1, 1);
    fixture.accept(std::slice::from_ref(&first)).await;
    let jobs = [
        first.clone(),
        keyed(fixture, 1, 1),
        keyed(fixture, 1, 2),
        keyed(fixture, 2, 2),
    ];
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    let replayed = Accepted::Replayed(first.job.id);
    assert_eq!(
        answers,
        [
            Accepted::Already,
            replayed,
            Accepted::KeyReused,
            Accepted::New
        ]
    );
    for refused in &jobs[1..3] {
        assert!(
            fixture
                .store
                .get(None, &[refused.job.id], 0)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

pub async fn what_a_key_answers_can_be_asked_without_claiming_it(fixture: &mut Fixture) {
    let (first, free) = (keyed(fixture, 1, 1), keyed(fixture, 2, 2));
    fixture.accept(std::slice::from_ref(&first)).await;
    let now = first.job.created_at;
    let store = fixture.store.clone();
    let asked = async |new: &NewJob, days: i64| {
        let then = UnixMs(now.0 + days * DAY_MS);
        let key = new.key.as_ref().unwrap();
        store.claimed(key, then).await.unwrap()
    };
    let replayed = Some(Accepted::Replayed(first.job.id));
    assert_eq!(asked(&first, 0).await, replayed);
    assert_eq!(asked(&first, 1).await, replayed);
    assert_eq!(asked(&first, 2).await, None);
    assert_eq!(
        asked(&keyed(fixture, 1, 2), 0).await,
        Some(Accepted::KeyReused)
    );
    assert_eq!(asked(&free, 0).await, None);
    assert_eq!(asked(&free, 0).await, None, "it was only asked about");
    let job = fixture
        .brought(keyed(fixture, 3, 3), vec![Event::CancelAsked])
        .await;
    let deleted = fixture.recorder.delete(&job.tenant, &[job.id], now).await;
    assert_eq!(deleted.unwrap(), [true]);
    assert_eq!(
        asked(&keyed(fixture, 3, 3), 0).await,
        Some(Accepted::KeyReused)
    );
}

pub async fn the_key_of_a_deleted_job_is_refused(fixture: &mut Fixture) {
    let first = keyed(fixture, 1, 1);
    let job = fixture.brought(first, vec![Event::CancelAsked]).await;
    fixture
        .recorder
        .delete("default", &[job.id], fixture.now)
        .await
        .unwrap();
    let answers = fixture
        .writer
        .accept(&[keyed(fixture, 1, 1)])
        .await
        .unwrap();
    assert_eq!(answers, [Accepted::KeyReused]);
}

pub async fn fifty_equal_keys_in_one_batch_are_one_job(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = (0..50).map(|_| keyed(fixture, 1, 1)).collect();
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    assert_eq!(answers[0], Accepted::New);
    assert_eq!(answers[1..], [Accepted::Replayed(jobs[0].job.id); 49]);
}

pub async fn equal_keys_over_two_writers_are_one_job(fixture: &mut Fixture) {
    let mut other = fixture.store.writer("other").await.unwrap();
    for round in 0..20u8 {
        let batch = |fixture: &Fixture| -> Vec<NewJob> {
            (0..25)
                .map(|key| keyed(fixture, key * 10 + round % 10, 1))
                .collect()
        };
        let (mine, theirs) = (batch(fixture), batch(fixture));
        let (left, right) = tokio::join!(fixture.writer.accept(&mine), other.accept(&theirs));
        let (left, right) = (left.unwrap(), right.unwrap());
        for at in 0..mine.len() {
            let (mine, theirs) = (mine[at].job.id, theirs[at].job.id);
            let winner = match (left[at], right[at]) {
                (Accepted::New, Accepted::Replayed(id)) => id == mine,
                (Accepted::Replayed(id), Accepted::New) => id == theirs,
                (Accepted::Replayed(left), Accepted::Replayed(right)) => left == right,
                _ => false,
            };
            assert!(winner, "{:?} and {:?}", left[at], right[at]);
        }
    }
}

pub async fn yesterdays_key_still_answers_and_older_ones_do_not(fixture: &mut Fixture) {
    let first = keyed(fixture, 1, 1);
    fixture.accept(std::slice::from_ref(&first)).await;
    let answers = fixture
        .writer
        .accept(&[later(keyed(fixture, 1, 1), 1)])
        .await
        .unwrap();
    assert_eq!(answers, [Accepted::Replayed(first.job.id)]);
    for days in [3, 6] {
        let answers = fixture
            .writer
            .accept(&[later(keyed(fixture, 1, 1), days)])
            .await
            .unwrap();
        assert_eq!(answers, [Accepted::New], "after {days} days");
    }
}
