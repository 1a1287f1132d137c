//! A schema of PostgreSQL for one test.

#![expect(
    clippy::expect_used,
    reason = "a test ends where its schema cannot be made"
)]

use clerkwork_store::conformance::Fixture;
use clerkwork_store::postgres::{self, Options};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// The server that the tests use.
pub(crate) fn url() -> String {
    std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "postgres://root@127.0.0.1:5432/test".to_owned())
}

/// An empty schema; its tables are not made yet.
pub(crate) async fn schema() -> Options {
    let name = format!("store_{:032x}", rand::random::<u128>());
    let mut conn = PgConnection::connect(&url())
        .await
        .expect("PostgreSQL answers at DATABASE_URL");
    conn.execute(AssertSqlSafe(format!("create schema {name}")))
        .await
        .expect("a schema");
    let mut options = Options::new(url());
    options.schema = Some(name);
    options
}

/// A connection of the test's own into its schema.
pub(crate) async fn connect(options: &Options) -> PgConnection {
    let name = options.schema.as_deref().expect("a test's schema");
    let mut conn = PgConnection::connect(&url())
        .await
        .expect("PostgreSQL answers");
    let text = format!("set search_path = {name}");
    conn.execute(AssertSqlSafe(text))
        .await
        .expect("the schema is there");
    conn
}

/// Makes the server refuse what the claims call poison.
pub(crate) async fn refuse_poison(options: &Options) {
    let mut conn = connect(options).await;
    for text in [
        "alter table jobs add check (tenant <> 'poison' and output_type <> 'poison' and failure not like '%poison%')",
        "alter table attempts add check (failure not like '%poison%')",
    ] {
        conn.execute(text).await.expect("a constraint");
    }
}

/// Makes the server end each session that commits a new job of this day, in the middle of its commit.
pub(crate) async fn break_commits(options: &Options, day: i32) {
    let mut conn = connect(options).await;
    conn.execute(
        "create function end_session() returns trigger language plpgsql as
         'begin perform pg_terminate_backend(pg_backend_pid()), pg_sleep(60); return null; end'",
    )
    .await
    .expect("a function");
    let text = format!(
        "create constraint trigger broken after insert on jobs_d{day} deferrable initially deferred
         for each row execute function end_session()"
    );
    conn.execute(AssertSqlSafe(text)).await.expect("a trigger");
}

/// Removes a test's schema and all that is in it.
pub(crate) async fn drop_schema(options: Options) {
    let name = options.schema.expect("a test's schema");
    let mut conn = PgConnection::connect(&url())
        .await
        .expect("PostgreSQL answers");
    let text = format!("set client_min_messages = warning; drop schema {name} cascade");
    conn.execute(AssertSqlSafe(text))
        .await
        .expect("the schema is dropped");
}

/// A store in this schema, which goes with it.
pub(crate) async fn fixture_in(options: Options) -> Fixture {
    postgres::migrate(&options).await.expect("migrated");
    let opened = options.clone();
    let open = Box::new(move || {
        let options = opened.clone();
        Box::pin(async move { postgres::open(options).await }) as _
    });
    let end = Box::new(move || Box::pin(drop_schema(options)) as _);
    Fixture::new(open, end).await
}
