//! The conformance suite over SQLite.

use clerkwork_store::conformance::Fixture;
use clerkwork_store::{conformance, sqlite};

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
