//! Tests with a recorder that refuses some data and fails at a planned call.

use async_trait::async_trait;
use bytes::Bytes;
use clerkwork_core::{Job, JobId, QueueName};

use super::*;
use crate::Recorded;

const POISON: &str = "poison";

/// A recorder that refuses batches with poison, and whose calls fail once so many were stored.
struct Planned {
    stores: usize,
}

impl Planned {
    fn store(&mut self, is_refused: bool) -> Result<(), Error> {
        if is_refused {
            return Err(Error::Refused("it is poison".to_owned()));
        }
        let left = self.stores.checked_sub(1);
        self.stores = left.ok_or_else(|| Error::Unavailable("it went away".to_owned()))?;
        Ok(())
    }
}

#[async_trait]
impl Recorder for Planned {
    async fn succeed(&mut self, some: &[Success], _: UnixMs) -> Result<Vec<Succeeded>, Error> {
        self.store(some.iter().any(|one| one.media_type == POISON))?;
        let recorded = |_| {
            Succeeded::Recorded(Recorded {
                queue: "q".parse().unwrap(),
                rev: 2,
            })
        };
        Ok(some.iter().map(recorded).collect())
    }

    async fn load(&mut self, _: &[JobId]) -> Result<Vec<Job>, Error> {
        unreachable!()
    }

    async fn apply(&mut self, _: &[Change]) -> Result<Vec<bool>, Error> {
        unreachable!()
    }

    async fn purge(
        &mut self,
        _: &QueueName,
        _: JobId,
        _: UnixMs,
        _: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        unreachable!()
    }

    async fn delete(&mut self, _: &str, _: &[JobId], _: UnixMs) -> Result<Vec<bool>, Error> {
        unreachable!()
    }

    async fn forget_cancels(&mut self, _: &[(JobId, u32)]) -> Result<(), Error> {
        unreachable!()
    }
}

/// Eight successes, of which the second cannot be stored.
fn batch() -> Vec<Success> {
    let success = |at| Success {
        job: JobId::at(UnixMs(1)),
        attempt: 1,
        media_type: if at == 1 { POISON } else { "text/plain" }.to_owned(),
        output: Bytes::new(),
        worker: None,
        started_at: None,
    };
    (0..8).map(success).collect()
}

#[tokio::test]
async fn what_is_stored_is_answered_though_the_store_then_fails() {
    // The first, then the poison alone, then the third and the fourth; the second half fails.
    let mut recorder = Planned { stores: 2 };
    let answers = succeed_each(&mut recorder, &batch(), UnixMs(2)).await;
    let answers = answers.unwrap();
    for (at, answer) in answers.iter().enumerate() {
        let fits = match at {
            0 | 2 | 3 => matches!(answer, Succeeded::Recorded(_)),
            1 => matches!(answer, Succeeded::Unfit),
            _ => matches!(answer, Succeeded::Unanswered),
        };
        assert!(fits, "{at}: {answer:?}");
    }
    assert_eq!(answers.len(), 8);
}

#[tokio::test]
async fn a_store_that_fails_before_anything_is_stored_is_an_error() {
    let mut recorder = Planned { stores: 0 };
    let answers = succeed_each(&mut recorder, &batch(), UnixMs(2)).await;
    assert!(matches!(answers, Err(Error::Unavailable(_))), "{answers:?}");
}
