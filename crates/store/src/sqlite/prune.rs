//! Giving storage back, in small batches that hold nobody up for long.

use std::time::Duration;

use clerkwork_core::{JobId, UnixMs};

use uuid::Uuid;

use super::batch::{Batch, Cells};
use super::failed;
use super::hand::Inner;
use crate::Error;
use crate::deadline::{self, UPKEEP};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Jobs that have been done for the retention, none whose webhook is pending, after `?1`; `?2` bounds
/// their ids, so that the youngest are never looked at. What survives is passed once, and by a reader.
const OLD_JOBS: &str = "
    select id from jobs where id > ?1 and id < ?2 and finished_at <= ?3
        and not exists (select 1 from webhooks where job_id = jobs.id and state = 0)
    order by id limit 500";
/// They may have been given a webhook to send since.
static FORGET: Batch = Batch::new(
    "delete from jobs where not exists (select 1 from webhooks where job_id = jobs.id and state = 0)
        and id in",
    1,
    "returning id",
);
/// What lies beside jobs.
static BESIDE: [Batch; 4] = [
    Batch::new("delete from bytes where job_id in", 1, ""),
    Batch::new("delete from tags where job_id in", 1, ""),
    Batch::new("delete from attempts where job_id in", 1, ""),
    Batch::new("delete from webhooks where job_id in", 1, ""),
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
    let (mut gone, mut after) = (0, Uuid::nil());
    loop {
        let old = deadline::write_for(UPKEEP, old(inner, after, bound, until)).await?;
        let Some(last) = old.last() else { break };
        after = *last;
        gone += deadline::write(forget(inner, &old)).await?;
    }
    while batch(inner, sqlx::query(OLD_KEYS).bind(now.day() - 1)).await? > 0 {}
    for text in [OLD_CANCELS, OLD_WORKERS, OLD_CLERKS, OLD_SECRETS] {
        while batch(inner, sqlx::query(text).bind(now.before(DAY).0)).await? > 0 {}
    }
    Ok(gone)
}

async fn old(inner: &Inner, after: Uuid, bound: Uuid, until: UnixMs) -> Result<Vec<Uuid>, Error> {
    let mut reading = inner.read().await?;
    let old = sqlx::query_scalar(OLD_JOBS)
        .bind(after)
        .bind(bound)
        .bind(until.0)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(old)
}

/// Forgets jobs and what lies beside them; how many.
async fn forget(inner: &Inner, old: &[Uuid]) -> Result<u64, Error> {
    let mut writing = inner.begin().await?;
    let gone: Vec<(Uuid,)> = FORGET
        .run(&mut writing, old.len(), cells(old.iter().copied())?)
        .await?;
    if !gone.is_empty() {
        for beside in &BESIDE {
            let cells = cells(gone.iter().map(|(id,)| *id))?;
            beside
                .run::<(i64,)>(&mut writing, gone.len(), cells)
                .await?;
        }
    }
    writing.commit().await?;
    Ok(gone.len() as u64)
}

fn cells(ids: impl Iterator<Item = Uuid>) -> Result<Cells, Error> {
    let mut cells = Cells::default();
    for id in ids {
        cells.put(id)?;
    }
    Ok(cells)
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
