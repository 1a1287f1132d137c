//! The conformance suite over PostgreSQL, each claim in a schema of its own, and what only
//! PostgreSQL must do.

mod support;

use std::time::{Duration, Instant};

use clerkwork_store::conformance;
use clerkwork_store::postgres::{self, Options};
use clerkwork_store::{Accepted, Error, NewJob, Succeeded, Success};
use sqlx::{Connection as _, Executor as _, PgConnection};
use support::{connect, drop_role, drop_schema, fixture, fixture_in, role, schema, url};

conformance!(fixture());

#[tokio::test]
async fn updates_of_quick_jobs_stay_heap_only() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    for _ in 0..40 {
        let ids = fixture.accept_dispatched(50).await;
        let batch: Vec<Success> = ids.into_iter().map(conformance::success).collect();
        let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
        assert!(
            answers
                .iter()
                .all(|one| matches!(one, Succeeded::Recorded(_)))
        );
    }
    fixture.recorder = fixture.store.recorder().await.unwrap();
    let mut conn = connect(&options).await;
    let text = "select coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_hot_upd), 0)::bigint
                from pg_stat_user_tables
                where schemaname = current_schema() and relname like 'jobs\\_d%'";
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let (updates, hot) = loop {
        // A session's counts are told when it ends, and once a minute.
        conn.execute("select pg_stat_clear_snapshot()")
            .await
            .unwrap();
        let (updates, hot): (i64, i64) = sqlx::query_as(text).fetch_one(&mut conn).await.unwrap();
        if updates >= 2_000 {
            break (updates, hot);
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{updates} updates are counted"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(
        hot * 100 >= updates * 95,
        "{hot} of {updates} updates were heap-only"
    );
    fixture.end().await;
}

#[tokio::test]
async fn the_hot_update_uses_the_key_even_on_an_empty_day() {
    let options = schema().await;
    postgres::migrate(&options).await.unwrap();
    let plan = postgres::plan_of_success(&options).await.unwrap();
    assert!(plan.contains("Index Cond: (id = said.id)"), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    drop_schema(options).await;
}

#[tokio::test]
async fn dropped_futures_leave_no_transaction_open() {
    let mut options = schema().await;
    let name = options.schema.clone().unwrap();
    options.url = format!("{}?application_name={name}", url());
    let mut fixture = fixture_in(options).await;
    conformance::dropped_futures_leave_nothing_half_done(&mut fixture).await;
    conformance::dropped_webhook_calls_leave_nothing_half_done(&mut fixture).await;
    conformance::dropped_calls_about_keys_and_queues_leave_nothing_half_done(&mut fixture).await;
    conformance::dropped_heartbeats_and_goodbyes_leave_nothing_half_done(&mut fixture).await;
    conformance::a_dropped_pruning_leaves_whole_days(&mut fixture).await;
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let text = "select count(*) from pg_stat_activity
                where application_name = $1 and state like 'idle in transaction%'";
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(8);
    loop {
        let open: i64 = sqlx::query_scalar(text)
            .bind(&name)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        if open == 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{open} transactions are open"
        );
        tokio::task::yield_now().await;
    }
    fixture.end().await;
}

#[tokio::test]
async fn data_that_only_the_server_refuses_is_taken_out_of_its_batch() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    let mut conn = connect(&options).await;
    conn.execute("alter table jobs add check (tenant <> 'poison' and output_type <> 'poison')")
        .await
        .unwrap();
    let mut jobs: Vec<NewJob> = (0..20).map(|_| fixture.dispatched()).collect();
    for at in [0, 7, 8, 19] {
        jobs[at].job.tenant = "poison".into();
    }
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    let mut batch = Vec::new();
    for (at, new) in jobs.iter().enumerate() {
        let unfit = [0, 7, 8, 19].contains(&at);
        assert_eq!(
            answers[at],
            if unfit {
                Accepted::Unfit
            } else {
                Accepted::New
            }
        );
        batch.push(conformance::success(new.job.id));
    }
    for at in [1, 12] {
        batch[at].media_type = "poison".to_owned();
    }
    let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    for (at, answer) in answers.iter().enumerate() {
        match at {
            0 | 7 | 8 | 19 => assert!(matches!(answer, Succeeded::Missing), "{answer:?}"),
            1 | 12 => assert!(matches!(answer, Succeeded::Unfit), "{answer:?}"),
            _ => assert!(matches!(answer, Succeeded::Recorded(_)), "{answer:?}"),
        }
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_batch_whose_rows_are_locked_is_tried_again() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    let ids = fixture.accept_dispatched(2).await;
    let mut conn = connect(&options).await;
    let mut transaction = conn.begin().await.unwrap();
    sqlx::query("select id from jobs where id = $1 for update")
        .bind(ids[0].uuid())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let batch: Vec<Success> = ids.into_iter().map(conformance::success).collect();
    // Longer than the lock time-out, so that the first try fails.
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
        transaction.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(fixture.recorder.succeed(&batch, fixture.now), release);
    let answers = answers.unwrap();
    assert!(
        answers
            .iter()
            .all(|one| matches!(one, Succeeded::Recorded(_))),
        "{answers:?}"
    );
    drop(conn);
    fixture.end().await;
}

#[tokio::test]
async fn a_connection_that_was_killed_is_told_and_replaced() {
    let mut options = schema().await;
    let name = options.schema.clone().unwrap();
    options.url = format!("{}?application_name={name}", url());
    let mut fixture = fixture_in(options).await;
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
    )
    .bind(&name)
    .execute(&mut conn)
    .await
    .unwrap();
    let jobs = [fixture.job()];
    let lost = fixture.writer.accept(&jobs).await.unwrap_err();
    assert!(
        matches!(lost, Error::Unknown(_) | Error::Unavailable(_)),
        "{lost}"
    );
    let gone = fixture.writer.accept(&jobs).await.unwrap_err();
    assert!(matches!(gone, Error::Unavailable(_)), "{gone}");
    fixture.writer = fixture.store.writer("next").await.unwrap();
    fixture.accept(&jobs).await;
    let found = fixture.store.get(None, &[jobs[0].job.id], 0).await;
    assert_eq!(
        found.unwrap_or_default().len(),
        1,
        "a lost connection is not lent again"
    );
    fixture.end().await;
}

/// Ends all sessions of this name.
async fn kill_sessions(name: &str) {
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let text = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    let query = sqlx::query(text).bind(name.to_owned());
    query.execute(&mut conn).await.unwrap();
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
    let purged = fixture.recorder.purge(&queue, fixture.now, 10).await;
    assert_eq!(purged.unwrap().len(), 2);
    kill_sessions(&name).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let deleted = fixture.recorder.delete("default", &[id], fixture.now).await;
    assert_eq!(deleted.unwrap(), [true]);
    fixture.end().await;
}

/// What somebody may set for a role, a database or a server, without meaning us.
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
    let purged = fixture.recorder.purge(&new.job.queue, fixture.now, 1).await;
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
async fn two_migrations_at_once_make_one_schema() {
    let options = schema().await;
    let refused = postgres::open(options.clone()).await.unwrap_err();
    assert!(
        matches!(refused, Error::Older { found: 0, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("clerkwork migrate"),
        "{refused}"
    );
    let (one, two) = tokio::join!(postgres::migrate(&options), postgres::migrate(&options));
    one.unwrap();
    two.unwrap();
    postgres::check(&options).await.unwrap();
    let mut conn = connect(&options).await;
    conn.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (999, 'later', true, '', 0)",
    )
    .await
    .unwrap();
    let refused = postgres::check(&options).await.unwrap_err();
    assert!(
        matches!(refused, Error::Newer { found: 999, .. }),
        "{refused}"
    );
    let refused = postgres::migrate(&options).await.unwrap_err();
    assert!(matches!(refused, Error::Newer { .. }), "{refused}");
    drop_schema(options).await;
}

/// How long others wait for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_migration_waits_for_one_that_takes_long_and_for_none_of_another_schema() {
    let (options, other) = (schema().await, schema().await);
    let mut conn = connect(&options).await;
    let lock = "select pg_advisory_lock(hashtext('clerkwork migrate ' || current_schema()))";
    conn.execute(lock).await.unwrap();
    let waiting = tokio::spawn({
        let options = options.clone();
        async move { postgres::migrate(&options).await }
    });
    let begun = Instant::now();
    postgres::migrate(&other).await.unwrap();
    tokio::time::sleep((LOCK_TIMEOUT + Duration::from_secs(1)).saturating_sub(begun.elapsed()))
        .await;
    assert!(!waiting.is_finished());
    conn.close().await.unwrap();
    waiting.await.unwrap().unwrap();
    postgres::check(&options).await.unwrap();
    drop_schema(options).await;
    drop_schema(other).await;
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_told_without_its_password() {
    let host = url();
    let host = host.split('@').nth(1).unwrap().split('/').next().unwrap();
    let cases = [
        (format!("postgres://nobody:hunter2@{host}/none"), ""),
        (
            "postgres://root:hunter2@127.0.0.1:1/test".to_owned(),
            "cannot be reached",
        ),
        ("mysql//root:hunter2".to_owned(), "is not like postgres://"),
    ];
    for (address, expected) in cases {
        let options = Options::new(address);
        let error = postgres::check(&options).await.unwrap_err();
        assert!(
            matches!(error, Error::Setting(_) | Error::Unavailable(_)),
            "{error:?}"
        );
        let text = format!("{error} {options:?}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let missing = Options::new(format!("postgres://root@{host}/there_is_no_such_database"));
    let error = postgres::check(&missing).await.unwrap_err().to_string();
    assert!(error.contains("no such database"), "{error}");
}
