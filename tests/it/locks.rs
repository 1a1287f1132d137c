//! Somebody changes the schema behind a transaction that somebody else has left open: everything that
//! comes later waits behind the change, but nobody waits without bound.

use std::time::Duration;

use clerkwork_tests::{Kind, Load, eventually};
use sqlx::{Connection as _, PgConnection};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_schema_change_behind_an_open_transaction_holds_clients_up_within_bounds_and_loses_nothing()
 {
    let plan = Kind::Fleet.plan().command("work", 4, &["cat"]);
    let system = plan.start().await;
    let clerks = [system.clerk(0), system.clerk(1)];
    let load = Load::start(8, "work", &clerks);
    load.accept(60).await;

    let mut reader = PgConnection::connect(&system.store()).await.unwrap();
    let mut open = reader.begin().await.unwrap();
    let read = sqlx::query("select count(*) from jobs");
    read.execute(&mut *open).await.unwrap();
    let mut changer = PgConnection::connect(&system.store()).await.unwrap();
    let change = tokio::spawn(async move {
        let change = "alter table jobs add column note text";
        sqlx::query(change).execute(&mut changer).await.unwrap();
    });
    let mut witness = PgConnection::connect(&system.store()).await.unwrap();
    let waits = "select count(*) from pg_locks join pg_database on oid = database
                 where datname = current_database() and not granted";
    // The change, and whoever came after it.
    eventually("others wait behind the change", LIMIT, async || {
        let waiting = sqlx::query_scalar(waits).fetch_one(&mut witness).await;
        let waiting: i64 = waiting.unwrap();
        (waiting > 1).then_some(())
    })
    .await;
    // For longer than a clerk waits for a lock, over and over.
    tokio::time::sleep(Duration::from_secs(12)).await;
    for clerk in &clerks {
        assert_eq!(clerk.look("/healthz").await.unwrap().0, 200);
    }
    open.rollback().await.unwrap();
    change.await.unwrap();

    load.accept(60).await;
    // It checks that nobody was held for longer than promised.
    let seen = load.stop().await;
    assert_eq!(seen.unanswered, 0);
    for (status, kind) in &seen.refused {
        let word = kind.trim_start_matches("urn:clerkwork:problem:");
        let documented = ["unavailable", "outcome-unknown"].contains(&word);
        assert!(*status == 503 && documented, "{status} {kind}");
    }
    seen.all_succeed(&clerks, LIMIT).await;
}
