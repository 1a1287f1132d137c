//! Sessions: what is set for their role, and what ends them.

use std::time::Duration;

use clerkwork_store::conformance;
use clerkwork_store::postgres::{self, Options};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{drop_schema, fixture_in, schema, url};

/// Ends all sessions of this name.
async fn kill_sessions(name: &str) {
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let text = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    let query = sqlx::query(text).bind(name.to_owned());
    query.execute(&mut conn).await.unwrap();
}

/// A schema that belongs to a role of its own, and the address for that role.
async fn role() -> Options {
    let options = schema().await;
    let name = options.schema.clone().unwrap();
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    // A server may want the passwords of roles, as it does that of ours.
    let text =
        format!("create role {name} login password '{name}'; alter schema {name} owner to {name}");
    conn.execute(AssertSqlSafe(text)).await.unwrap();
    let url = url();
    let place = url.rsplit('@').next().unwrap();
    let url = format!("postgres://{name}:{name}@{place}?application_name={name}");
    Options { url, ..options }
}

/// Removes the role of [`role`], after its schema.
async fn drop_role(options: &Options) {
    let name = options.schema.as_deref().unwrap();
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let text = format!("drop role {name}");
    conn.execute(AssertSqlSafe(text)).await.unwrap();
}

#[tokio::test]
async fn sessions_that_ended_in_a_pause_are_replaced_before_anything_is_sent() {
    let mut options = schema().await;
    let name = options.schema.clone().unwrap();
    options.url = format!("{}?application_name={name}", url());
    let mut fixture = fixture_in(options).await;
    let queue = conformance::queue("render");
    let mut id = fixture.job().job.id;
    for _ in 0..2 {
        let new = fixture.job();
        id = new.job.id;
        fixture.accept(&[new]).await;
    }
    let store = fixture.store.clone();
    store.pause_queue(&queue, false).await.unwrap();
    kill_sessions(&name).await;
    // A shorter pause is none.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    store.pause_queue(&queue, true).await.unwrap();
    let purged = fixture
        .recorder
        .purge(&queue, conformance::next_id(fixture.now), fixture.now, 10)
        .await;
    assert_eq!(purged.unwrap().len(), 2);
    kill_sessions(&name).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let deleted = fixture.recorder.delete("default", &[id], fixture.now).await;
    assert_eq!(deleted.unwrap(), [true]);
    fixture.end().await;
}

/// The settings that somebody may make for a role, a database or a server, without meaning us.
const HOSTILE: [&str; 18] = [
    "idle_session_timeout = '200ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "synchronous_commit = off",
    "standard_conforming_strings = off",
    "client_encoding = LATIN1",
    "\"DateStyle\" = 'German, DMY'",
    "\"TimeZone\" = 'Pacific/Chatham'",
    "bytea_output = escape",
    "search_path = nowhere",
    "quote_all_identifiers = on",
    "enable_indexscan = off",
    "enable_nestloop = off",
    "enable_seqscan = on",
    "plan_cache_mode = force_custom_plan",
];

#[tokio::test]
async fn no_setting_of_its_role_comes_between_a_session_and_its_work() {
    let options = role().await;
    let name = options.schema.clone().unwrap();
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    for setting in HOSTILE {
        let text = format!("alter role {name} set {setting}");
        conn.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    }
    let mut fixture = fixture_in(options.clone()).await;
    conformance::a_list_is_filtered_and_newest_first(&mut fixture).await;
    conformance::accepted_jobs_come_back_as_they_were(&mut fixture).await;
    conformance::attempts_that_ended_are_kept_in_order(&mut fixture).await;
    // Nothing is asked in a pause, which the role allows for 200 ms.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let new = fixture.job();
    fixture.accept(std::slice::from_ref(&new)).await;
    let purged = fixture
        .recorder
        .purge(
            &new.job.queue,
            conformance::next_id(fixture.now),
            fixture.now,
            1,
        )
        .await;
    assert_eq!(purged.unwrap().len(), 1);
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    fixture.store.prune(fixture.now, week).await.unwrap();
    fixture.end().await;
    drop_role(&options).await;
}

#[tokio::test]
async fn a_store_stays_in_its_schema_when_the_search_path_of_its_role_changes() {
    let named = role().await;
    let name = named.schema.clone().unwrap();
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let set = async |conn: &mut PgConnection, path: &str| {
        let text = format!("alter role {name} set search_path = {path}");
        conn.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    };
    set(&mut conn, &name).await;
    let options = Options {
        schema: None,
        ..named.clone()
    };
    postgres::migrate(&options).await.unwrap();
    let store = postgres::open(options.clone()).await.unwrap();
    set(&mut conn, "nowhere").await;
    assert!(store.queues().await.unwrap().is_empty());
    store.close().await;
    drop(store);
    for refused in [
        postgres::migrate(&options).await.unwrap_err(),
        postgres::open(options).await.unwrap_err(),
    ] {
        assert!(refused.to_string().contains("search_path"), "{refused}");
    }
    drop_schema(Options {
        url: url(),
        ..named.clone()
    })
    .await;
    drop_role(&named).await;
}

#[tokio::test]
async fn a_schema_that_comes_first_in_the_search_path_takes_no_session() {
    let named = role().await;
    let name = named.schema.clone().unwrap();
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    // The record is in the second schema of the path while there is no first one.
    let text = format!(
        "alter schema {name} rename to {name}_old; alter role {name} set search_path = \"$user\", {name}_old"
    );
    conn.execute(AssertSqlSafe(text)).await.unwrap();
    let options = Options {
        schema: None,
        ..named.clone()
    };
    postgres::migrate(&options).await.unwrap();
    let queue = conformance::queue("render");
    let store = postgres::open(options.clone()).await.unwrap();
    let now = clerkwork_core::UnixMs(1);
    store
        .declare_queues(std::slice::from_ref(&queue), now)
        .await
        .unwrap();
    let text = format!("create schema {name} authorization {name}");
    conn.execute(AssertSqlSafe(text)).await.unwrap();
    let refused = postgres::migrate(&options).await.unwrap_err();
    assert!(refused.to_string().contains("comes first"), "{refused}");
    postgres::check(&options).await.unwrap();
    let later = postgres::open(options).await.unwrap();
    for store in [store, later] {
        assert_eq!(store.queues().await.unwrap().len(), 1);
        store.close().await;
    }
    for schema in [name.clone(), format!("{name}_old")] {
        drop_schema(Options {
            schema: Some(schema),
            ..Options::new(url())
        })
        .await;
    }
    drop_role(&named).await;
}
