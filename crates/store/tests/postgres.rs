//! The conformance suite over PostgreSQL, each claim in a schema of its own, and what only
//! PostgreSQL must do.

#[cfg(test)]
#[path = "postgres/lists.rs"]
mod lists;
#[cfg(test)]
#[path = "postgres/readable.rs"]
mod readable;
#[cfg(test)]
#[path = "postgres/sessions.rs"]
mod sessions;
mod support;

use std::time::{Duration, Instant};

use clerkwork_core::JobId;
use clerkwork_store::conformance;
use clerkwork_store::postgres::{self, Options};
use clerkwork_store::{Error, NewJob, Succeeded, Success};
use sqlx::{Connection as _, Executor as _, PgConnection};
use support::{break_commits, connect, drop_schema, fixture_in, refuse_poison, schema, url};

conformance!(fixture());

/// A store in a schema of its own.
async fn fixture() -> conformance::Fixture {
    fixture_in(schema().await).await
}

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
async fn data_that_the_server_refuses_is_taken_out_of_its_batch() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    refuse_poison(&options).await;
    conformance::data_that_the_database_refuses_holds_up_no_neighbour(&mut fixture).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_no_other() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    let mut jobs: Vec<NewJob> = (0..3).map(|_| fixture.dispatched()).collect();
    for new in &mut jobs {
        new.job.standing.wake_at = Some(fixture.now);
    }
    fixture.accept(&jobs).await;
    let mut conn = connect(&options).await;
    sqlx::query("update jobs set failure = '{' where id = $1")
        .bind(jobs[1].job.id.uuid())
        .execute(&mut conn)
        .await
        .unwrap();
    let ids: Vec<JobId> = jobs.iter().map(|new| new.job.id).collect();
    let mut readable = [ids[0], ids[2]];
    readable.sort_unstable();
    let mut loaded: Vec<JobId> = fixture
        .recorder
        .load(&ids)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id)
        .collect();
    loaded.sort_unstable();
    assert_eq!(loaded, readable);
    let until = fixture.now.after(Duration::from_secs(10));
    let due = fixture
        .store
        .claim_due(fixture.now, until, 10)
        .await
        .unwrap();
    let due: Vec<JobId> = due.into_iter().map(|job| job.id).collect();
    assert_eq!(due, readable);
    fixture.end().await;
}

#[tokio::test]
async fn a_commit_that_the_server_broke_off_is_unknown() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    break_commits(&options, fixture.now.day()).await;
    conformance::a_broken_commit_is_unknown(&mut fixture).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_database_in_another_encoding_is_refused_by_name() {
    let name = format!("latin_{:032x}", rand::random::<u128>());
    let mut conn = PgConnection::connect(&url()).await.unwrap();
    let create = format!(
        "create database {name} encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'"
    );
    conn.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    let url = url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let options = Options::new(format!("{server}/{name}"));
    let mut refusals = vec![postgres::migrate(&options).await.unwrap_err()];
    refusals.push(postgres::open(options).await.unwrap_err());
    let drop = format!("drop database {name} with (force)");
    conn.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
    for refused in refusals {
        let text = refused.to_string();
        assert!(matches!(refused, Error::Setting(_)), "{text}");
        assert!(text.contains(&name) && text.contains("LATIN1"), "{text}");
    }
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
        (
            "postgres://root:a@b/hunter2@127.0.0.1/x".to_owned(),
            "%2F for /",
        ),
        (
            "postgres://root:a@b?hunter2@127.0.0.1/x".to_owned(),
            "%3F for ?",
        ),
        (
            "postgres://root:a@b#hunter2@127.0.0.1/x".to_owned(),
            "%23 for #",
        ),
        (
            "postgres://root:a@b/hunter2@127.0.0.1".to_owned(),
            "%40 for @",
        ),
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
