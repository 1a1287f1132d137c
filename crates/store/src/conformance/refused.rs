//! What the database refuses or breaks off. Each is made to do so by the test that calls these claims.

use clerkwork_core::{Change, Event, Failure, Reply, Retry, transition};

use super::fixture::{Fixture, success};
use crate::{Accepted, Applied, Error, Key, NewJob, Succeeded, Success, apply_each, succeed_each};

/// The word that the database is made to refuse, as the tenant or media type of a job or within its failure.
pub const POISON: &str = "poison";

/// The jobs that carry it.
const POISONED: [usize; 4] = [0, 7, 8, 19];

/// Of jobs, successes and failures that arrive together, those that the database refuses are taken out alone.
pub async fn data_that_the_database_refuses_holds_up_no_neighbour(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..20).map(|_| fixture.dispatched()).collect();
    for at in POISONED {
        jobs[at].job.tenant = POISON.into();
    }
    let accepted = fixture
        .writer
        .accept(&jobs)
        .await
        .expect("the others are stored");
    for (at, answer) in accepted.iter().enumerate() {
        let wanted = match POISONED.contains(&at) {
            true => Accepted::Unfit,
            false => Accepted::New,
        };
        assert_eq!(*answer, wanted, "job {at}");
    }
    refused_successes(fixture, &jobs).await;
    refused_changes(fixture).await;
}

/// Of a transaction whose commit was sent and not answered nobody is told that nothing was done. The database has been
/// made to break commits off.
pub async fn a_broken_commit_is_unknown(fixture: &mut Fixture) {
    // A job with a key makes it a transaction of several statements.
    let mut keyed = fixture.job();
    keyed.key = Some(Key {
        key: [7; 32],
        fingerprint: [7; 32],
    });
    let batch = [keyed, fixture.job()];
    let failure = fixture.writer.accept(&batch).await;
    let failure = failure.expect_err("the commit was broken off");
    assert!(matches!(failure, Error::Unknown(_)), "{failure}");
}

async fn refused_successes(fixture: &mut Fixture, jobs: &[NewJob]) {
    let mut batch: Vec<Success> = jobs.iter().map(|new| success(new.job.id)).collect();
    for at in [1, 12] {
        batch[at].media_type = POISON.to_owned();
    }
    let kept = succeed_each(&mut *fixture.recorder, &batch, fixture.now).await;
    for (at, kept) in kept.expect("the others are stored").iter().enumerate() {
        match at {
            1 | 12 => assert!(matches!(kept, Succeeded::Unfit), "{at}: {kept:?}"),
            at if POISONED.contains(&at) => {
                assert!(matches!(kept, Succeeded::Missing), "{at}: {kept:?}")
            }
            _ => assert!(matches!(kept, Succeeded::Recorded(_)), "{at}: {kept:?}"),
        }
    }
}

async fn refused_changes(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(20).await;
    let mut changes: Vec<Change> = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let job = fixture.load(*id).await;
        let word = if POISONED.contains(&at) {
            POISON
        } else {
            "broken"
        };
        // Every other one ends its job, the rest an attempt of it.
        let retry = if at % 2 == 0 {
            Retry::Never
        } else {
            Retry::AfterMs(1)
        };
        let failure = Failure::new(Failure::HANDLER_ERROR, format!("it is {word}"), 1);
        let event = Event::Replied {
            attempt: 1,
            reply: Reply::Failed { failure, retry },
            worker: None,
            started_at: None,
        };
        changes.extend(transition(&job, event, &fixture.moment()));
    }
    assert_eq!(changes.len(), ids.len());
    let applied = apply_each(&mut *fixture.recorder, &changes).await;
    for (at, applied) in applied.expect("the others are stored").iter().enumerate() {
        let wanted = match POISONED.contains(&at) {
            true => Applied::Refused,
            false => Applied::Stored,
        };
        assert_eq!(*applied, wanted, "change {at}");
        let rev = fixture.load(ids[at]).await.standing.rev;
        assert_eq!(rev, 1 + u32::from(wanted == Applied::Stored), "job {at}");
    }
}
