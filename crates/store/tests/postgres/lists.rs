//! Lists, which read more than anything else.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_store::{Error, Filter, postgres};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{connect, fixture_in, schema, url};

/// Counts the sessions of this name that wait for a lock.
async fn waiting(conn: &mut PgConnection, name: &str) -> i64 {
    let text = "select count(*) from pg_stat_activity
                where application_name = $1 and wait_event_type = 'Lock'";
    let count = sqlx::query_scalar(text).bind(name.to_owned());
    count.fetch_one(conn).await.unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn lists_that_are_held_up_hold_up_no_other_read() {
    let mut options = schema().await;
    let name = options.schema.clone().unwrap();
    options.url = format!("{}?application_name={name}", url());
    let mut fixture = fixture_in(options.clone()).await;
    let id = fixture.accept_dispatched(1).await[0];
    let mut conn = connect(&options).await;
    let mut lock = conn.begin().await.unwrap();
    lock.execute("lock table tags in access exclusive mode")
        .await
        .unwrap();
    let tagged = Arc::new(Filter {
        tag: Some("a".parse().unwrap()),
        limit: 1,
        ..Filter::default()
    });
    let list = || {
        let (store, tagged) = (fixture.store.clone(), tagged.clone());
        tokio::spawn(async move { store.list("default", &tagged).await })
    };
    let mut lists: Vec<_> = (0..20).map(|_| list()).collect();
    let other = tokio::sync::Mutex::new(PgConnection::connect(&url()).await.unwrap());
    let waited = async {
        while waiting(&mut *other.lock().await, &name).await < 4 {
            // On a busy machine they may be over their time before all of them wait.
            for ended in lists.iter_mut().filter(|list| list.is_finished()) {
                *ended = list();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waited).await;
    waited.expect("lists wait for the lock");
    // More lists than connections wait for the lock, and for those that wait.
    for _ in 0..10 {
        let found = fixture.store.get(None, &[id], 0).await.unwrap();
        assert_eq!(found.len(), 1);
    }
    for list in &lists {
        list.abort();
    }
    // The server ends what nobody waits for, though the lock is still there.
    until("statements of lists go on", async || {
        waiting(&mut *other.lock().await, &name).await == 0
    })
    .await;
    lock.rollback().await.unwrap();
    for list in lists {
        if let Ok(listed) = list.await {
            assert!(
                matches!(listed, Ok(_) | Err(Error::Unavailable(_))),
                "{listed:?}"
            );
        }
    }
    let listed = fixture.store.list("default", &tagged).await.unwrap();
    assert!(listed.jobs.is_empty() && listed.searched_to.is_none());
    drop(conn);
    fixture.end().await;
}

#[tokio::test]
async fn a_list_reads_no_jobs_of_other_tenants() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    // As far as the planner knows, all are of one tenant.
    for _ in 0..4 {
        fixture.accept_dispatched(500).await;
    }
    let mut conn = connect(&options).await;
    conn.execute("analyze jobs").await.unwrap();
    let plan = postgres::plan_of_list(&options).await.unwrap();
    assert!(plan.contains("ROW(tenant, id) < ROW("), "{plan}");
    assert!(!plan.contains("pkey") && !plan.contains("Sort\n"), "{plan}");
    drop(conn);
    fixture.end().await;
}
