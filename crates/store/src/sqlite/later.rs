//! What happens later: due jobs, and dispatches that need a look.

use clerkwork_core::{Job, JobId, QueueName, UnixMs};
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::failed;
use super::hand::Inner;
use crate::Error;
use crate::rows::{JobRow, job_columns, jobs};

static CLAIM: Batch = Batch::new(
    "with told (until) as (values (?))
     update jobs set wake_at = told.until from told,",
    1,
    concat!(
        "as due where jobs.id = due.column1 returning ",
        job_columns!("jobs")
    ),
);

pub(super) async fn claim_due(
    inner: &Inner,
    now: UnixMs,
    until: UnixMs,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    let mut writing = inner.begin().await?;
    let text = "select id from jobs where wake_at is not null and wake_at <= ?
                order by wake_at, id limit ?";
    let due: Vec<Uuid> = sqlx::query_scalar(text)
        .bind(now.0)
        .bind(limit)
        .fetch_all(&mut *writing)
        .await
        .map_err(failed)?;
    let mut rows: Vec<JobRow> = Vec::with_capacity(due.len());
    for chunk in due.chunks(MOST) {
        let mut cells = Cells::default();
        cells.put(until.0)?;
        for id in chunk {
            cells.put(*id)?;
        }
        rows.extend(
            CLAIM
                .run::<JobRow>(&mut writing, chunk.len(), cells)
                .await?,
        );
    }
    writing.commit().await?;
    Ok(crate::cells::in_order(jobs(rows), &due))
}

pub(super) async fn watch(
    inner: &Inner,
    from: JobId,
    to: JobId,
    wake_at: UnixMs,
) -> Result<u64, Error> {
    let mut writing = inner.write().await?;
    let text = "update jobs set wake_at = ?
                where id >= ? and id < ? and state = 2 and wake_at is null";
    let done = sqlx::query(text)
        .bind(wake_at.0)
        .bind(from.uuid())
        .bind(to.uuid())
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    Ok(done.rows_affected())
}

/// An index holds all that is out, so that no id is too old.
pub(super) async fn dispatched(
    inner: &Inner,
    queue: &QueueName,
    _recent: JobId,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    let mut reading = inner.read().await?;
    let text = concat!(
        "select ",
        job_columns!("jobs"),
        " from jobs indexed by jobs_out
          where state in (2, 3) and state = 2 and queue = ? and id > ?
          order by id limit ?"
    );
    let rows: Vec<JobRow> = sqlx::query_as(text)
        .bind(queue.as_str().to_owned())
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .bind(limit)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(jobs(rows))
}
