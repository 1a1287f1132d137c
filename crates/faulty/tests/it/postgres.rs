//! PostgreSQL under faults.

use clerkwork_store::conformance::{End, Fixture, Open};
use clerkwork_store::postgres;

use crate::{schemas, stores};

clerkwork_store::conformance!(fixture());

async fn parts() -> (Open, End) {
    let options = schemas::schema().await;
    postgres::migrate(&options).await.unwrap();
    let opened = options.clone();
    let open = Box::new(move || {
        let options = opened.clone();
        Box::pin(async move { postgres::open(options).await }) as _
    });
    let end = Box::new(move || Box::pin(schemas::drop_schema(options)) as _);
    (open, end)
}

async fn fixture() -> Fixture {
    let (open, end) = parts().await;
    stores::patient(open, end).await
}

async fn plain() -> Fixture {
    let (open, end) = parts().await;
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
