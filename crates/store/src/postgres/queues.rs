//! Queues, and what waits and runs in them.

use std::time::Duration;

use clerkwork_core::{JobId, QueueName, UnixMs};

use super::session::Session;
use super::trouble::Trouble;
use crate::counts::{BacklogRow, CountRow, TenantRow, tally};
use crate::rows::{QueueCells, queue};
use crate::{Backlog, KnownQueue, QueueDeletion, QueueStats};

pub(super) async fn declare(
    session: &mut Session,
    queues: &[QueueName],
    now: UnixMs,
) -> Result<Vec<QueueName>, Trouble> {
    let text = "insert into queues (name, declared_at)
                select name, $2 from unnest($1::text[]) as new (name) order by name
                on conflict do nothing returning name";
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let new: Vec<String> = session
        .scalars(sqlx::query_scalar(text).bind(names).bind(now.0))
        .await?;
    Ok(new
        .iter()
        .map(|name| queue("queues", name))
        .collect::<Result<_, _>>()?)
}

pub(super) async fn all(session: &mut Session) -> Result<Vec<KnownQueue>, Trouble> {
    let text = "select name, paused from queues order by name";
    let rows: Vec<QueueCells> = session.rows(sqlx::query_as(text)).await?;
    Ok(rows
        .into_iter()
        .map(QueueCells::known)
        .collect::<Result<_, _>>()?)
}

pub(super) async fn pause(
    session: &mut Session,
    name: &QueueName,
    paused: bool,
) -> Result<bool, Trouble> {
    let query = sqlx::query("update queues set paused = $2 where name = $1")
        .bind(name.as_str())
        .bind(paused);
    Ok(session.execute(query).await?.rows_affected() == 1)
}

/// How long a dispatch may have no `wake_at`: the walk that gives it one runs once a minute.
const UNWATCHED: Duration = Duration::from_secs(180);

/// Counts what waits, from the backlog's index; what has a `wake_at`, which is everything that runs,
/// is scheduled or was dispatched a while ago; and the dispatches of the last minutes. So it costs
/// what is not done plus what was accepted in these minutes, however many jobs are done.
const COUNTS: &str = "
    select queue, 1::smallint as state, count(*) as jobs, min(waiting_since) as oldest
        from jobs where waiting_since is not null and ($1::text is null or queue = $1)
        group by queue
    union all
    select queue, state, count(*), min(due_at)
        from jobs where wake_at is not null and state in (0, 2, 3)
            and ($1::text is null or queue = $1)
        group by queue, state
    union all
    select queue, state, count(*), min(due_at)
        from jobs where id >= $2 and wake_at is null and state in (2, 3)
            and ($1::text is null or queue = $1)
        group by queue, state";

/// Deletes it where the three kinds of unfinished jobs that are counted above have none of it.
const DELETE: &str = "
    delete from queues where name = $1
        and not exists (select from jobs where waiting_since is not null and queue = $1)
        and not exists (select from jobs
            where wake_at is not null and state in (0, 2, 3) and queue = $1)
        and not exists (select from jobs
            where id >= $2 and wake_at is null and state in (2, 3) and queue = $1)";

pub(super) async fn delete(
    session: &mut Session,
    name: &QueueName,
    now: UnixMs,
) -> Result<QueueDeletion, Trouble> {
    let query = sqlx::query(DELETE)
        .bind(name.as_str())
        .bind(JobId::first_of(now.before(UNWATCHED)).uuid());
    if session.execute(query).await?.rows_affected() == 1 {
        return Ok(QueueDeletion::Deleted);
    }
    let text = "select 1::bigint from queues where name = $1";
    let known: Vec<i64> = session
        .scalars(sqlx::query_scalar(text).bind(name.as_str()))
        .await?;
    Ok(match known.is_empty() {
        true => QueueDeletion::Unknown,
        false => QueueDeletion::Unfinished,
    })
}

pub(super) async fn stats(
    session: &mut Session,
    name: Option<&QueueName>,
    now: UnixMs,
) -> Result<Vec<QueueStats>, Trouble> {
    let known = all(session).await?;
    let query = sqlx::query_as(COUNTS)
        .bind(name.map(QueueName::as_str))
        .bind(JobId::first_of(now.before(UNWATCHED)).uuid());
    let rows: Vec<CountRow> = session.rows(query).await?;
    Ok(tally(known, name, rows))
}

/// The same, for each tenant.
const UNFINISHED: &str = "
    select tenant, sum(jobs)::bigint as jobs from (
        select tenant, count(*) as jobs from jobs where waiting_since is not null group by tenant
        union all
        select tenant, count(*) from jobs
            where wake_at is not null and state in (0, 2, 3) group by tenant
        union all
        select tenant, count(*) from jobs
            where id >= $1 and wake_at is null and state in (2, 3) group by tenant
    ) as counted group by tenant order by tenant";

pub(super) async fn unfinished(
    session: &mut Session,
    now: UnixMs,
) -> Result<Vec<(String, u64)>, Trouble> {
    let query = sqlx::query_as(UNFINISHED).bind(JobId::first_of(now.before(UNWATCHED)).uuid());
    let rows: Vec<TenantRow> = session.rows(query).await?;
    Ok(rows.into_iter().map(TenantRow::count).collect())
}

/// Jumps from queue to queue in the backlog's index.
const BACKLOG: &str = "
    with recursive waiting (queue) as (
        (select queue from jobs where waiting_since is not null order by queue limit 1)
        union all
        select (select queue from jobs
                where waiting_since is not null and jobs.queue > waiting.queue
                order by queue limit 1)
        from waiting where waiting.queue is not null
    )
    select waiting.queue,
        (select waiting_since from jobs
            where waiting_since is not null and jobs.queue = waiting.queue
            order by waiting_since limit 1) as oldest
    from waiting where waiting.queue is not null";

pub(super) async fn backlog(session: &mut Session) -> Result<Vec<Backlog>, Trouble> {
    let rows: Vec<BacklogRow> = session.rows(sqlx::query_as(BACKLOG)).await?;
    Ok(rows
        .into_iter()
        .map(BacklogRow::backlog)
        .collect::<Result<_, _>>()?)
}
