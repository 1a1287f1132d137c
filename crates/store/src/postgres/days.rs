//! The tables of a day.

use std::time::Duration;

use clerkwork_core::{JobId, UnixMs};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::session::{Session, on_day};
use super::trouble::Trouble;

/// How many days are made ahead.
const AHEAD: i32 = 3;

/// Makes yesterday, today and the days ahead.
pub(super) async fn make_around(session: &mut Session, now: UnixMs) -> Result<(), Trouble> {
    let today = now.day();
    for day in today - 1..=today + AHEAD {
        make(session, day).await?;
    }
    Ok(())
}

/// Makes the tables of a day unless they are there; whoever comes second waits and finds them. A
/// clerk of an older version makes fewer of them.
///
/// A table is made first and attached then: that keeps no reader out, as `create … partition of`
/// would.
pub(super) async fn make(session: &mut Session, day: i32) -> Result<(), Trouble> {
    if missing(session, day).await?.is_empty() {
        return Ok(());
    }
    session.begin().await?;
    let lock = "select pg_advisory_xact_lock(hashtext('clerkwork days ' || current_schema()))";
    session.execute(sqlx::query(lock)).await?;
    let (from, to) = (
        JobId::first_of_day(day),
        JobId::first_of_day(day.saturating_add(1)),
    );
    for table in missing(session, day).await? {
        session
            .execute(sqlx::query(on_day(table.create, day)))
            .await?;
        // Ids cannot be parameters here; they are our own hexadecimal digits.
        let text = on_day(table.attach, day)
            .as_str()
            .replace("$from", &from.to_string());
        let text = AssertSqlSafe(text.replace("$to", &to.to_string())).into_sql_str();
        session.execute(sqlx::query(text)).await?;
    }
    session.commit().await
}

/// The tables of a day that are not there.
async fn missing(session: &mut Session, day: i32) -> Result<Vec<&'static Table>, Trouble> {
    // Not to_regclass: that may remember what was not there before we waited for the lock.
    let text = "select relname::text from pg_class
                where relname = any($1) and relnamespace = current_schema()::regnamespace";
    let names: Vec<String> = TABLES.iter().map(|table| name(table.name, day)).collect();
    let found: Vec<String> = session
        .scalars(sqlx::query_scalar(text).bind(names))
        .await?;
    Ok(TABLES
        .iter()
        .filter(|table| !found.contains(&name(table.name, day)))
        .collect())
}

/// Whether the tables of a day are there.
pub(super) async fn exists(session: &mut Session, day: i32) -> Result<bool, Trouble> {
    let text = "select exists (select from pg_class
                where relname = $1 and relnamespace = current_schema()::regnamespace)";
    let found = sqlx::query_scalar(text).bind(name("jobs_day", day));
    Ok(session
        .scalars(found)
        .await?
        .first()
        .copied()
        .unwrap_or(false))
}

/// The days that are there, the oldest first.
pub(super) async fn all(session: &mut Session) -> Result<Vec<i32>, Trouble> {
    let text = "select substr(relname, 7)::integer from pg_inherits
                join pg_class on pg_class.oid = inhrelid
                where inhparent = 'jobs'::regclass and relname ~ '^jobs_d[0-9]+$' order by 1";
    session.scalars(sqlx::query_scalar(text)).await
}

/// The last moment at which a job of this day can have been accepted.
pub(super) fn end(day: i32) -> UnixMs {
    JobId::first_of_day(day.saturating_add(1))
        .moment()
        .before(Duration::from_millis(1))
}

fn name(table: &'static str, day: i32) -> String {
    on_day(table, day).as_str().to_owned()
}

/// A table of a day.
struct Table {
    name: &'static str,
    create: &'static str,
    attach: &'static str,
}

macro_rules! table {
    ($name:literal $(, $with:literal)?) => {
        Table {
            name: concat!($name, "_day"),
            create: concat!("create table ", $name, "_day (like ", $name, " including all)" $(, $with)?),
            attach: concat!(
                "alter table ", $name, " attach partition ", $name,
                "_day for values from ('$from') to ('$to')"
            ),
        }
    };
}

/// A quick job's row is written once more, larger by its output, and mostly by the statement that does
/// so for all its neighbours: less than half a page is filled so that all of them stay on it.
const TABLES: [Table; 5] = [
    table!("jobs", " with (fillfactor = 40)"),
    table!("bytes"),
    table!("tags"),
    table!("attempts"),
    table!("webhooks"),
];
