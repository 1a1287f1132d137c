//! Jobs that are accepted together.

use clerkwork_core::JobId;

use super::fixture::Fixture;
use crate::{Accepted, Key, NewJob};

/// A batch of jobs; with a key, for these words.
fn batch(fixture: &Fixture, count: usize, key: Option<(u8, u8)>) -> Vec<NewJob> {
    let first = JobId::first_of_batch(fixture.now);
    let job = |id| {
        let mut new = fixture.job();
        new.job.id = id;
        new.batch = Some(first);
        new.key = key.map(|(key, words)| Key {
            key: [key; 32],
            fingerprint: [words; 32],
        });
        new
    };
    first.batch(count).map(job).collect()
}

async fn stored(fixture: &Fixture, jobs: &[NewJob]) -> usize {
    let ids: Vec<JobId> = jobs.iter().map(|new| new.job.id).collect();
    fixture.store.get(None, &ids, 0).await.unwrap().len()
}

pub async fn a_batch_with_one_key_is_stored_whole_and_leads_to_all_its_jobs(fixture: &mut Fixture) {
    let jobs = batch(fixture, 1_000, Some((1, 1)));
    fixture.accept(&jobs).await;
    assert_eq!(stored(fixture, &jobs).await, 1_000);
    let same = batch(fixture, 1_000, Some((1, 1)));
    let other = batch(fixture, 3, Some((1, 2)));
    let both: Vec<NewJob> = same.iter().chain(&other).cloned().collect();
    let answers = fixture.writer.accept(&both).await.unwrap();
    assert_eq!(
        answers[..1_000],
        [Accepted::Replayed(jobs[0].job.id); 1_000]
    );
    assert_eq!(answers[1_000..], [Accepted::KeyReused; 3]);
    assert_eq!(stored(fixture, &both).await, 0);
    // Sent once more by a clerk that was not answered.
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    assert_eq!(answers, vec![Accepted::Already; 1_000]);
}

pub async fn a_batch_with_a_job_that_cannot_be_stored_is_not_stored(fixture: &mut Fixture) {
    let mut bad = batch(fixture, 5, Some((1, 1)));
    bad[3].job.input.media_type = "text/\0plain".to_owned();
    let good = batch(fixture, 2, None);
    let both: Vec<NewJob> = bad.iter().chain(&good).cloned().collect();
    let answers = fixture.writer.accept(&both).await.unwrap();
    assert_eq!(answers[..5], [Accepted::Unfit; 5]);
    assert_eq!(answers[5..], [Accepted::New; 2]);
    assert_eq!(stored(fixture, &both).await, 2);
    let again = batch(fixture, 5, Some((1, 1)));
    fixture.accept(&again).await;
}

pub async fn racing_equal_batches_are_one_batch(fixture: &mut Fixture) {
    let mut other = fixture.store.writer("other").await.unwrap();
    for round in 0..10u8 {
        let mine = batch(fixture, 50, Some((round, 1)));
        let theirs = batch(fixture, 50, Some((round, 1)));
        let (left, right) = tokio::join!(fixture.writer.accept(&mine), other.accept(&theirs));
        let (left, right) = (left.unwrap(), right.unwrap());
        let (winner, loser, answers) = match left[0] {
            Accepted::New => (&mine, &theirs, &right),
            _ => (&theirs, &mine, &left),
        };
        assert_eq!(answers[..], [Accepted::Replayed(winner[0].job.id); 50]);
        assert_eq!(stored(fixture, winner).await, 50);
        assert_eq!(stored(fixture, loser).await, 0);
    }
}
