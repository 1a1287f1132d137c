//! One incarnation of a clerk: new jobs, dispatches and heartbeats.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use clerkwork_core::{ClerkId, Clock as _, JobId, SystemClock, UnixMs};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::hand::Inner;
use super::{accept, failed};
use crate::rows::{BesideRow, TakenRow, job_columns, readable};
use crate::{Accepted, Error, HandOut, NewJob, Taken, Watermark, Writer, deadline};

/// The most bytes of inputs that are taken from the backlog at once.
const MOST_TAKEN: u64 = 16 << 20;

pub(super) static INSERT_BYTES: Batch = Batch::new(
    "insert into bytes (job_id, part, bytes) select * from",
    3,
    "where column1 is not null on conflict do nothing",
);

/// As `transition` has it for a dispatch; the conformance suite holds them equal.
static HAND_OUT: Batch = Batch::new(
    "with told (clerk, wake_at) as (values (?, ?))
     update jobs set state = 2, rev = rev + 1, attempt = attempt + 1, worker = null,
         clerk = told.clerk, wake_at = told.wake_at, number = picked.column2
     from told,",
    2,
    concat!(
        "as picked where jobs.id = picked.column1 returning ",
        job_columns!("jobs"),
        ", jobs.input"
    ),
);

/// One incarnation of a clerk.
pub(super) struct SqliteWriter {
    inner: Arc<Inner>,
    clerk: ClerkId,
}

impl SqliteWriter {
    pub(super) async fn register(inner: Arc<Inner>, name: &str) -> Result<Self, Error> {
        let now = SystemClock::new().now().0;
        inner.look();
        let mut writing = inner.write().await?;
        let clerk = sqlx::query_scalar(
            "insert into clerks (name, seen_at, watermark, watermark_at) values (?, ?, 0, ?)
             returning id",
        )
        .bind(name.to_owned())
        .bind(now)
        .bind(now)
        .fetch_one(&mut *writing)
        .await
        .map_err(failed)?;
        writing.done();
        Ok(Self {
            inner,
            clerk: ClerkId(clerk),
        })
    }

    async fn take(&self, order: &HandOut) -> Result<Vec<Taken>, Error> {
        let mut writing = self.inner.begin().await?;
        self.inner.unfenced(self.clerk)?;
        let picked = pick(&mut writing, order).await?;
        let mut taken = Vec::with_capacity(picked.len());
        let mut number = order.first_number;
        for chunk in picked.chunks(MOST) {
            let mut cells = Cells::default();
            cells.put(self.clerk.0)?;
            cells.put(order.wake_at.0)?;
            for id in chunk {
                cells.put(*id)?;
                cells.put(number)?;
                number += 1;
            }
            let rows: Vec<TakenRow> = HAND_OUT.run(&mut writing, chunk.len(), cells).await?;
            for mut job in rows.into_iter().filter_map(|row| readable(row.taken())) {
                if job.job.input.size > crate::INLINE as u64 {
                    job.input = input(&mut writing, job.job.id).await?;
                }
                taken.push(job);
            }
        }
        writing.commit().await?;
        taken.sort_by_key(|taken| taken.job.standing.dispatch.map(|dispatch| dispatch.number));
        Ok(taken)
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    fn clerk(&self) -> ClerkId {
        self.clerk
    }

    async fn accept(&mut self, jobs: &[NewJob]) -> Result<Vec<Accepted>, Error> {
        deadline::write(accept::accept(&self.inner, self.clerk, jobs)).await
    }

    async fn hand_out(&mut self, hand_out: &HandOut) -> Result<Vec<Taken>, Error> {
        deadline::write(self.take(hand_out)).await
    }

    async fn heartbeat(&mut self, watermark: Watermark, now: UnixMs) -> Result<UnixMs, Error> {
        self.inner.look();
        deadline::write(async {
            let mut writing = self.inner.write().await?;
            self.inner.unfenced(self.clerk)?;
            let text = "update clerks set seen_at = ?, watermark = ?, watermark_at = ?
                        where id = ? and not fenced and closed_at is null";
            let done = sqlx::query(text)
                .bind(now.0)
                .bind(watermark.number)
                .bind(watermark.at.0)
                .bind(self.clerk.0)
                .execute(&mut *writing)
                .await
                .map_err(failed)?;
            writing.done();
            if done.rows_affected() == 0 {
                Err(Error::Fenced)
            } else {
                Ok(SystemClock::new().now())
            }
        })
        .await
    }

    async fn close(&mut self) -> Result<(), Error> {
        deadline::write(async {
            let mut writing = self.inner.write().await?;
            sqlx::query("update clerks set closed_at = ? where id = ? and not fenced")
                .bind(SystemClock::new().now().0)
                .bind(self.clerk.0)
                .execute(&mut *writing)
                .await
                .map_err(failed)?;
            writing.done();
            Ok(())
        })
        .await
    }
}

/// The part of `bytes` that is an input.
pub(super) const INPUT: i16 = 0;
/// The part of `bytes` that is an output.
pub(super) const OUTPUT: i16 = 1;

pub(super) async fn insert_bytes(
    conn: &mut SqliteConnection,
    id: Uuid,
    part: i16,
    bytes: &[u8],
) -> Result<(), Error> {
    let mut cells = Cells::default();
    cells.put(id)?;
    cells.put(part)?;
    cells.put(bytes)?;
    INSERT_BYTES.run::<(i64,)>(conn, 1, cells).await?;
    Ok(())
}

/// The jobs whose turn it is, in order.
async fn pick(conn: &mut SqliteConnection, order: &HandOut) -> Result<Vec<Uuid>, Error> {
    let text = "select id, input_size from jobs where queue = ?1 and state = 1
                and not exists (select 1 from queues where name = ?1 and paused)
                order by due_at, id limit ?2";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(text)
        .bind(order.queue.as_str().to_owned())
        .bind(order.limit)
        .fetch_all(conn)
        .await
        .map_err(failed)?;
    Ok(crate::cells::first_bytes(rows, MOST_TAKEN))
}

async fn input(conn: &mut SqliteConnection, id: JobId) -> Result<Bytes, Error> {
    let row: Option<BesideRow> =
        sqlx::query_as("select job_id, bytes from bytes where job_id = ? and part = 0")
            .bind(id.uuid())
            .fetch_optional(conn)
            .await
            .map_err(failed)?;
    row.map(|row| Bytes::from(row.bytes))
        .ok_or_else(|| Error::Corrupt {
            table: "bytes",
            detail: format!("job {id}: the input is missing"),
        })
}
