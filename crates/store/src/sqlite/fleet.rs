//! Clerks, workers, secrets and cancels.

use clerkwork_core::{
    Change, ClerkId, Event, Job, JobId, Moment, QueueName, Secret, UnixMs, transition,
};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::hand::Inner;
use super::{apply, failed};
use crate::cells::{about, in_hand, latest, storable};
use crate::rows::{CancelCells, ClerkCells, JobRow, WorkerCells, job_columns, jobs};
use crate::secrets::SecretCells;
use crate::{Cancel, ClerkRow, Error, WorkerRow};

pub(super) async fn clerks(inner: &Inner) -> Result<Vec<ClerkRow>, Error> {
    let mut reading = inner.read().await?;
    let text = "select id, name, seen_at, watermark, watermark_at, fenced from clerks
                where closed_at is null order by id";
    let rows: Vec<ClerkCells> = sqlx::query_as(text)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(rows.into_iter().map(ClerkRow::from).collect())
}

/// All in one transaction: nobody else writes meanwhile.
pub(super) async fn take_over(
    inner: &Inner,
    clerk: ClerkId,
    silent_since: UnixMs,
    now: UnixMs,
) -> Result<u64, Error> {
    let mut writing = inner.begin().await?;
    let text = "update clerks set fenced = true, closed_at = ?
                where id = ? and closed_at is null and seen_at <= ? returning watermark";
    let watermark: Option<i64> = sqlx::query_scalar(text)
        .bind(now.0)
        .bind(clerk.0)
        .bind(silent_since.0)
        .fetch_optional(&mut *writing)
        .await
        .map_err(failed)?;
    let Some(watermark) = watermark else {
        writing.commit().await?;
        return Ok(0);
    };
    let moment = Moment {
        now,
        lease: std::time::Duration::ZERO,
        chance: 0.0,
    };
    let mut after = None;
    let mut doubted = 0;
    loop {
        let jobs = unseen(&mut writing, clerk, watermark, after).await?;
        let Some(last) = jobs.last() else { break };
        after = Some(last.id);
        let changes: Vec<Change> = jobs
            .iter()
            .filter_map(|job| {
                let attempt = job.standing.attempt;
                transition(job, Event::Doubted { attempt }, &moment)
            })
            .collect();
        let applied = apply::apply(&mut writing, &changes).await?;
        doubted += applied.iter().map(|done| u64::from(*done)).sum::<u64>();
    }
    writing.commit().await?;
    inner.fence(clerk);
    Ok(doubted)
}

/// Dispatches of a clerk from a number on that no worker was seen with.
async fn unseen(
    conn: &mut SqliteConnection,
    clerk: ClerkId,
    watermark: i64,
    after: Option<JobId>,
) -> Result<Vec<Job>, Error> {
    let text = concat!(
        "select ",
        job_columns!("jobs"),
        " from jobs indexed by jobs_out where state in (2, 3) and state = 2 and clerk = ?
             and number >= ? and worker is null and id > ? order by id limit 1000"
    );
    let rows: Vec<JobRow> = sqlx::query_as(text)
        .bind(clerk.0)
        .bind(watermark)
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .fetch_all(conn)
        .await
        .map_err(failed)?;
    Ok(jobs(rows))
}

pub(super) async fn secrets(inner: &Inner) -> Result<Vec<Secret>, Error> {
    let first = Secret::random(1);
    let mut writing = inner.begin().await?;
    let text = "insert into secrets (id, bytes)
                select ?, ? where not exists (select 1 from secrets)";
    sqlx::query(text)
        .bind(first.id)
        .bind(first.bytes.to_vec())
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    let rows: Vec<SecretCells> = sqlx::query_as("select id, bytes from secrets order by id")
        .fetch_all(&mut *writing)
        .await
        .map_err(failed)?;
    writing.commit().await?;
    rows.into_iter().map(SecretCells::secret).collect()
}

static KEEP_WORKERS: Batch = Batch::new(
    "insert into workers (id, seq, seen_at, in_hand, about) select * from",
    5,
    "where column1 is not null
     on conflict (id) do update set
         seq = excluded.seq, seen_at = excluded.seen_at, in_hand = excluded.in_hand,
         about = excluded.about
     where workers.seq < excluded.seq",
);

pub(super) async fn keep_workers(inner: &Inner, workers: &[WorkerRow]) -> Result<(), Error> {
    let workers = latest(workers);
    let mut writing = inner.begin().await?;
    for chunk in workers.chunks(MOST) {
        let mut cells = Cells::default();
        for worker in chunk {
            cells.put(storable(&worker.id))?;
            cells.put(worker.seq)?;
            cells.put(worker.seen_at.0)?;
            cells.put(in_hand(worker)?)?;
            cells.put(about(worker))?;
        }
        KEEP_WORKERS
            .run::<(i64,)>(&mut writing, chunk.len(), cells)
            .await?;
    }
    writing.commit().await
}

static WORKERS: Batch = Batch::new(
    "with told (since) as (values (?))
     select id, seq, seen_at, in_hand, about from told, workers
     where seen_at >= told.since and id in",
    1,
    "",
);

pub(super) async fn workers(
    inner: &Inner,
    ids: Option<&[String]>,
    since: UnixMs,
) -> Result<Vec<WorkerRow>, Error> {
    let mut reading = inner.read().await?;
    let mut rows: Vec<WorkerCells> = Vec::new();
    if let Some(ids) = ids {
        for chunk in ids.chunks(MOST) {
            let mut cells = Cells::default();
            cells.put(since.0)?;
            for id in chunk {
                cells.put(storable(id))?;
            }
            rows.extend(
                WORKERS
                    .run::<WorkerCells>(&mut reading, chunk.len(), cells)
                    .await?,
            );
        }
    } else {
        let text = "select id, seq, seen_at, in_hand, about from workers
                    where seen_at >= ? order by id";
        rows = sqlx::query_as(text)
            .bind(since.0)
            .fetch_all(&mut *reading)
            .await
            .map_err(failed)?;
    }
    reading.done();
    rows.into_iter().map(WorkerCells::worker).collect()
}

pub(super) async fn cancels(inner: &Inner, after: i64, limit: u32) -> Result<Vec<Cancel>, Error> {
    let mut reading = inner.read().await?;
    let text = "select seq, job_id, attempt, queue from cancels
                where seq > ? order by seq limit ?";
    let rows: Vec<CancelCells> = sqlx::query_as(text)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(CancelCells::cancel).collect()
}

pub(super) async fn queue_cancels(
    inner: &Inner,
    queue: &QueueName,
    after: i64,
    limit: u32,
) -> Result<Vec<Cancel>, Error> {
    let mut reading = inner.read().await?;
    let text = "select seq, job_id, attempt, queue from cancels
                where queue = ? and seq > ? order by seq limit ?";
    let rows: Vec<CancelCells> = sqlx::query_as(text)
        .bind(queue.as_str().to_owned())
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(CancelCells::cancel).collect()
}
