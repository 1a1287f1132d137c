//! SQLite under faults.

use clerkwork_store::conformance::{End, Open};
use clerkwork_store::sqlite;

use crate::stores;

stores::claims!(parts());

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
