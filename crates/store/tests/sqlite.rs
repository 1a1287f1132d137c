//! The conformance suite over SQLite, and what only SQLite must do.

#![expect(
    clippy::expect_used,
    reason = "a test ends where its folder cannot be made"
)]

use clerkwork_store::conformance::Fixture;
use clerkwork_store::{Error, conformance, sqlite};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jobs.db");
    let open = Box::new(move || {
        let path = path.clone();
        Box::pin(async move { sqlite::open(path).await }) as _
    });
    let end = Box::new(move || Box::pin(async move { drop(folder) }) as _);
    Fixture::new(open, end).await
}

conformance!(fixture());

#[tokio::test]
async fn a_file_that_is_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let store = sqlite::open(&path).await.unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::Setting(_)), "{text}");
    assert!(
        text.contains("jobs.db is in use by another process"),
        "{text}"
    );
    drop(store);
    sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    std::fs::write(
        &path,
        "this is not a database, and it is long enough to tell".repeat(20),
    )
    .unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::Setting(_)), "{text}");
    assert!(
        text.contains("jobs.db cannot be opened as a database"),
        "{text}"
    );
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    sqlite::migrate(&path).await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    conn.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (999, 'later', true, x'00', 0)",
    )
    .await
    .unwrap();
    conn.close().await.unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    assert!(
        matches!(refused, Error::Newer { found: 999, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_store_in_memory_is_its_own() {
    let one = sqlite::memory().await.unwrap();
    let two = sqlite::memory().await.unwrap();
    let queue = conformance_queue();
    one.declare_queues(std::slice::from_ref(&queue), clerkwork_core::UnixMs(0))
        .await
        .unwrap();
    assert_eq!(one.queues().await.unwrap().len(), 1);
    assert!(two.queues().await.unwrap().is_empty());
}

fn conformance_queue() -> clerkwork_core::QueueName {
    clerkwork_store::conformance::queue("a")
}
