//! Giving storage back, in small batches that hold nobody up for long.

use std::time::Duration;

use clerkwork_core::{JobId, UnixMs};

use super::failed;
use super::hand::Inner;
use crate::Error;
use crate::deadline;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Jobs of one batch, none whose webhook is pending; `?1` bounds their ids, so that the youngest are
/// never looked at.
const OLD_JOBS: &str = "delete from jobs where rowid in (
    select rowid from jobs where id < ?1 and finished_at <= ?2
        and not exists (select 1 from webhooks where job_id = jobs.id and state = 0) limit 500)";
/// What lay beside jobs that are gone.
const BESIDE: [&str; 4] = [
    "delete from bytes where job_id < ?1 and rowid in (
        select rowid from bytes where job_id < ?1
            and not exists (select 1 from jobs where jobs.id = job_id) limit 500)",
    "delete from tags where (tenant, tag, job_id) in (
        select tenant, tag, job_id from tags where job_id < ?1
            and not exists (select 1 from jobs where jobs.id = job_id) limit 500)",
    "delete from attempts where (job_id, attempt) in (
        select job_id, attempt from attempts where job_id < ?1
            and not exists (select 1 from jobs where jobs.id = job_id) limit 500)",
    "delete from webhooks where job_id in (
        select job_id from webhooks where job_id < ?1
            and not exists (select 1 from jobs where jobs.id = job_id) limit 500)",
];
const OLD_KEYS: &str =
    "delete from keys where key in (select key from keys where day < ?1 limit 500)";
// What is not answered yet may still lie on a queue.
const OLD_CANCELS: &str = "delete from cancels where seq in (
    select seq from cancels where asked_at < ?1
        and not exists (select 1 from jobs where jobs.id = cancels.job_id) limit 500)";
const OLD_WORKERS: &str =
    "delete from workers where id in (select id from workers where seen_at < ?1 limit 500)";
const OLD_SECRETS: &str = "delete from webhook_secrets where retired_at < ?1";
const OLD_CLERKS: &str =
    "delete from clerks where id in (select id from clerks where closed_at < ?1 limit 500)";

pub(super) async fn prune(inner: &Inner, now: UnixMs, retention: Duration) -> Result<u64, Error> {
    let until = now.before(retention);
    let bound = JobId::first_of(until).uuid();
    let mut gone = 0;
    loop {
        let jobs = batch(inner, sqlx::query(OLD_JOBS).bind(bound).bind(until.0)).await?;
        gone += jobs;
        if jobs == 0 {
            break;
        }
    }
    for text in BESIDE {
        while batch(inner, sqlx::query(text).bind(bound)).await? > 0 {}
    }
    while batch(inner, sqlx::query(OLD_KEYS).bind(now.day() - 1)).await? > 0 {}
    for text in [OLD_CANCELS, OLD_WORKERS, OLD_CLERKS, OLD_SECRETS] {
        while batch(inner, sqlx::query(text).bind(now.before(DAY).0)).await? > 0 {}
    }
    Ok(gone)
}

type Statement = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// One batch on its turn; how many rows are gone.
async fn batch(inner: &Inner, statement: Statement) -> Result<u64, Error> {
    deadline::write(async {
        let mut writing = inner.write().await?;
        let done = statement.execute(&mut *writing).await.map_err(failed)?;
        writing.done();
        Ok(done.rows_affected())
    })
    .await
}
