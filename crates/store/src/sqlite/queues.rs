//! Queues, and what waits and runs in them.

use clerkwork_core::{QueueName, UnixMs};

use super::failed;
use super::hand::Inner;
use crate::counts::{BacklogRow, CountRow, TenantRow, tally};
use crate::rows::QueueCells;
use crate::{Backlog, Error, KnownQueue, QueueDeletion, QueueStats};

pub(super) async fn declare(
    inner: &Inner,
    queues: &[QueueName],
    now: UnixMs,
) -> Result<Vec<QueueName>, Error> {
    let mut writing = inner.begin().await?;
    let mut new = Vec::new();
    for name in queues {
        let text = "insert into queues (name, declared_at) values (?, ?) on conflict do nothing";
        let done = sqlx::query(text)
            .bind(name.as_str().to_owned())
            .bind(now.0)
            .execute(&mut *writing)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 1 {
            new.push(name.clone());
        }
    }
    writing.commit().await?;
    Ok(new)
}

pub(super) async fn all(inner: &Inner) -> Result<Vec<KnownQueue>, Error> {
    let mut reading = inner.read().await?;
    let rows: Vec<QueueCells> = sqlx::query_as("select name, paused from queues order by name")
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(QueueCells::known).collect()
}

pub(super) async fn pause(inner: &Inner, name: &QueueName, paused: bool) -> Result<bool, Error> {
    let mut writing = inner.write().await?;
    let done = sqlx::query("update queues set paused = ? where name = ?")
        .bind(paused)
        .bind(name.as_str().to_owned())
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    Ok(done.rows_affected() == 1)
}

/// Deletes it where it has nothing that is scheduled, waits or is out.
const DELETE: &str = "
    delete from queues where name = ?1
        and not exists (select 1 from jobs where state = 1 and queue = ?1)
        and not exists (select 1 from jobs where state in (2, 3) and queue = ?1)
        and not exists (select 1 from jobs
            where wake_at is not null and state = 0 and queue = ?1)";

pub(super) async fn delete(inner: &Inner, name: &QueueName) -> Result<QueueDeletion, Error> {
    let mut writing = inner.write().await?;
    let done = sqlx::query(DELETE)
        .bind(name.as_str().to_owned())
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    if done.rows_affected() == 1 {
        return Ok(QueueDeletion::Deleted);
    }
    let known = all(inner).await?.iter().any(|known| known.name == *name);
    Ok(match known {
        true => QueueDeletion::Unfinished,
        false => QueueDeletion::Unknown,
    })
}

/// Counts what the three partial indexes hold: all that is not done.
const COUNTS: &str = "
    select queue, 1 as state, count(*) as jobs, min(due_at) as oldest
        from jobs where state = 1 and (?1 is null or queue = ?1) group by queue
    union all
    select queue, state, count(*), min(due_at)
        from jobs where state in (2, 3) and (?1 is null or queue = ?1) group by queue, state
    union all
    select queue, 0, count(*), null
        from jobs where wake_at is not null and state = 0 and (?1 is null or queue = ?1)
        group by queue";

pub(super) async fn stats(
    inner: &Inner,
    name: Option<&QueueName>,
) -> Result<Vec<QueueStats>, Error> {
    let known = all(inner).await?;
    let mut reading = inner.read().await?;
    let rows: Vec<CountRow> = sqlx::query_as(COUNTS)
        .bind(name.map(|name| name.as_str().to_owned()))
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(tally(known, name, rows))
}

/// The same, for each tenant.
const UNFINISHED: &str = "
    select tenant, sum(jobs) as jobs from (
        select tenant, count(*) as jobs from jobs where state = 1 group by tenant
        union all
        select tenant, count(*) from jobs where state in (2, 3) group by tenant
        union all
        select tenant, count(*) from jobs where wake_at is not null and state = 0 group by tenant
    ) group by tenant order by tenant";

pub(super) async fn unfinished(inner: &Inner) -> Result<Vec<(String, u64)>, Error> {
    let mut reading = inner.read().await?;
    let rows: Vec<TenantRow> = sqlx::query_as(UNFINISHED)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(rows.into_iter().map(TenantRow::count).collect())
}

/// Jumps from queue to queue in the backlog's index.
const BACKLOG: &str = "
    with recursive waiting (queue) as (
        select min(queue) from jobs where state = 1
        union all
        select (select min(queue) from jobs where state = 1 and queue > waiting.queue)
        from waiting where waiting.queue is not null
    )
    select queue,
        (select min(due_at) from jobs where state = 1 and queue = waiting.queue) as oldest
    from waiting where queue is not null";

pub(super) async fn backlog(inner: &Inner) -> Result<Vec<Backlog>, Error> {
    let mut reading = inner.read().await?;
    let rows: Vec<BacklogRow> = sqlx::query_as(BACKLOG)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(BacklogRow::backlog).collect()
}
