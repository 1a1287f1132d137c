//! SQLite under faults.

use clerkwork_store::conformance::{End, Fixture, Open};
use clerkwork_store::sqlite;

use crate::stores;

clerkwork_store::conformance!(fixture());

fn parts() -> (Open, End) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let open = Box::new(move || {
        let path = path.clone();
        Box::pin(async move { sqlite::open(path).await }) as _
    });
    let end = Box::new(move || Box::pin(async move { drop(folder) }) as _);
    (open, end)
}

async fn fixture() -> Fixture {
    let (open, end) = parts();
    stores::patient(open, end).await
}

async fn plain() -> Fixture {
    let (open, end) = parts();
    Fixture::new(open, end).await
}

#[tokio::test]
async fn jobs_that_a_next_incarnation_sends_again_are_there_once() {
    let fixture = plain().await;
    stores::jobs_sent_again_are_there_once(&fixture).await;
    fixture.end().await;
}

#[tokio::test]
async fn outcomes_that_are_stored_again_are_recorded_once() {
    let mut fixture = plain().await;
    stores::outcomes_stored_again_are_recorded_once(&mut fixture).await;
    fixture.end().await;
}
