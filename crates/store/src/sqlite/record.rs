//! The recorder: stores what becomes of jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use clerkwork_core::{Change, Event, Job, JobId, Moment, QueueName, UnixMs, transition};
use clerkwork_faults::{Point, reach};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::hand::Inner;
use super::write::{OUTPUT, insert_bytes};
use super::{apply, failed};
use crate::cells::{beside, inline, is_unfit_success, storable};
use crate::rows::{JobRow, int, job_columns, jobs};
use crate::succeed::{RecordedRow, Round};
use crate::{Error, Recorded, Recorder, Succeeded, Success, deadline};

/// The time at which a success ends its job: now, but never before what is on record.
macro_rules! end {
    () => {
        "max(told.now, coalesce(started_at, created_at))"
    };
}

/// As `transition` has it for a success; the conformance suite holds them equal.
static SUCCEED: Batch = Batch::new(
    concat!(
        "with told (now) as (values (?))
         update or rollback jobs set state = 10, rev = rev + 1, wake_at = null, finished_at = ",
        end!(),
        ", held = false, unlisted = false, worker = coalesce(said.column3, worker),
         started_at = coalesce(
             min(max(
                 coalesce(case when state = 3 then started_at end, said.column4), created_at
             ), ",
        end!(),
        "), started_at, ",
        end!(),
        "),
         output_type = said.column5, output_size = said.column6, output = said.column7
     from told,"
    ),
    7,
    "as said where jobs.id = said.column1 and state < 10
             and said.column2 between 1 and attempt
         returning jobs.id, jobs.queue, jobs.rev",
);

static LOAD: Batch = Batch::new(
    concat!("select ", job_columns!("jobs"), " from jobs where id in"),
    1,
    "",
);

static KNOWN: Batch = Batch::new("select id from jobs where id in", 1, "");

static DELETE: Batch = Batch::new(
    "with told (now, tenant) as (values (?, ?))
     update jobs set deleted_at = told.now from told,",
    1,
    "as gone where jobs.id = gone.column1 and jobs.tenant = told.tenant and state >= 10
         and deleted_at is null
     returning id",
);

static FORGET: Batch = Batch::new("delete from cancels where (job_id, attempt) in", 2, "");

/// The connection of a recorder; it shares the one hand that writes.
pub(super) struct SqliteRecorder(pub(super) Arc<Inner>);

impl SqliteRecorder {
    /// Stores the successes of a batch, and keeps in it what became of them.
    async fn succeed_all(
        &self,
        successes: &[Success],
        round: &mut Round<'_>,
        now: UnixMs,
    ) -> Result<(), Error> {
        let one =
            successes.len() <= MOST && successes.iter().all(|one| beside(&one.output).is_none());
        if one && round.is_single() && !round.open().is_empty() {
            let mut sharing = self.0.share().await;
            let (count, cells) = (round.open().len(), said(round.open(), now)?);
            let rows = sharing.run(&SUCCEED, count, cells).await?;
            reach(Point::RecordBeforeCommit);
            sharing.commit().await?;
            round.settle(recorded(rows)?);
        } else {
            let mut writing = self.0.begin().await?;
            while !round.open().is_empty() {
                let done = succeed(&mut writing, round.open(), now).await?;
                round.settle(done);
            }
            reach(Point::RecordBeforeCommit);
            writing.commit().await?;
        }
        Ok(())
    }

    /// Reads which of these jobs exist.
    async fn known(&self, ids: &[JobId]) -> Result<HashSet<JobId>, Error> {
        let mut reading = self.0.read().await?;
        let known = known(&mut reading, ids).await?;
        reading.done();
        Ok(known)
    }

    async fn purge_some(
        &self,
        queue: &QueueName,
        before: JobId,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        let mut writing = self.0.begin().await?;
        let jobs = waiting(&mut writing, queue, before, limit).await?;
        let moment = Moment {
            now,
            lease: std::time::Duration::ZERO,
            chance: 0.0,
        };
        let changes: Vec<Change> = jobs
            .iter()
            .filter_map(|job| transition(job, Event::CancelAsked, &moment))
            .collect();
        let applied = apply::apply(&mut writing, &changes).await?;
        writing.commit().await?;
        let done = changes.iter().zip(applied).filter(|(_, done)| *done);
        Ok(done
            .map(|(change, _)| (change.id, change.standing.rev))
            .collect())
    }
}

#[async_trait]
impl Recorder for SqliteRecorder {
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error> {
        let mut round = Round::new(successes, is_unfit_success);
        deadline::write(self.succeed_all(successes, &mut round, now)).await?;
        let doubtful = round.doubtful();
        if !doubtful.is_empty() {
            match deadline::read(self.known(&doubtful)).await {
                Ok(known) => round.late(&known),
                // All is committed.
                Err(error) => return round.broken_off(error),
            }
        }
        Ok(round.answers())
    }

    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        deadline::read(async {
            let mut reading = self.0.read().await?;
            let mut found = Vec::with_capacity(ids.len());
            for chunk in ids.chunks(MOST) {
                let rows: Vec<JobRow> = LOAD
                    .run(&mut reading, chunk.len(), id_cells(chunk)?)
                    .await?;
                found.extend(rows);
            }
            reading.done();
            Ok(jobs(found))
        })
        .await
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error> {
        deadline::write(async {
            let mut writing = self.0.begin().await?;
            let applied = apply::apply(&mut writing, changes).await?;
            reach(Point::RecordBeforeCommit);
            writing.commit().await?;
            Ok(applied)
        })
        .await
    }

    async fn purge(
        &mut self,
        queue: &QueueName,
        before: JobId,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        deadline::write(self.purge_some(queue, before, now, limit)).await
    }

    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error> {
        deadline::write(async {
            let mut writing = self.0.begin().await?;
            let mut gone: HashSet<Uuid> = HashSet::new();
            for chunk in ids.chunks(MOST) {
                let mut cells = Cells::default();
                cells.put(now.0)?;
                cells.put(tenant)?;
                for id in chunk {
                    cells.put(id.uuid())?;
                }
                let rows: Vec<(Uuid,)> = DELETE.run(&mut writing, chunk.len(), cells).await?;
                gone.extend(rows.into_iter().map(|(id,)| id));
            }
            writing.commit().await?;
            Ok(ids.iter().map(|id| gone.remove(&id.uuid())).collect())
        })
        .await
    }

    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error> {
        deadline::write(async {
            let mut writing = self.0.begin().await?;
            for chunk in cancels.chunks(MOST) {
                let mut cells = Cells::default();
                for (job, attempt) in chunk {
                    cells.put(job.uuid())?;
                    cells.put(int(*attempt))?;
                }
                FORGET
                    .run::<(i64,)>(&mut writing, chunk.len(), cells)
                    .await?;
            }
            writing.commit().await
        })
        .await
    }
}

pub(super) fn id_cells(ids: &[JobId]) -> Result<Cells, Error> {
    let mut cells = Cells::default();
    for id in ids {
        cells.put(id.uuid())?;
    }
    Ok(cells)
}

/// Stores successes of different jobs; what was done.
async fn succeed(
    conn: &mut SqliteConnection,
    successes: &[&Success],
    now: UnixMs,
) -> Result<HashMap<JobId, Recorded>, Error> {
    let mut done = HashMap::with_capacity(successes.len());
    for chunk in successes.chunks(MOST) {
        let rows = SUCCEED.run(conn, chunk.len(), said(chunk, now)?).await?;
        done.extend(recorded(rows)?);
    }
    for success in successes {
        if let (Some(bytes), true) = (beside(&success.output), done.contains_key(&success.job)) {
            insert_bytes(conn, success.job.uuid(), OUTPUT, bytes).await?;
        }
    }
    Ok(done)
}

/// The values of [`SUCCEED`].
fn said(successes: &[&Success], now: UnixMs) -> Result<Cells, Error> {
    let mut cells = Cells::default();
    cells.put(now.0)?;
    for success in successes {
        cells.put(success.job.uuid())?;
        cells.put(int(success.attempt))?;
        cells.put(success.worker.as_deref().map(storable))?;
        cells.put(success.started_at.map(|at| at.0))?;
        cells.put(success.media_type.as_str())?;
        cells.put(crate::rows::size(&success.output))?;
        cells.put(inline(&success.output))?;
    }
    Ok(cells)
}

fn recorded(rows: Vec<RecordedRow>) -> Result<HashMap<JobId, Recorded>, Error> {
    rows.into_iter().map(RecordedRow::recorded).collect()
}

async fn known(conn: &mut SqliteConnection, ids: &[JobId]) -> Result<HashSet<JobId>, Error> {
    let mut known = HashSet::new();
    for chunk in ids.chunks(MOST) {
        let rows: Vec<(Uuid,)> = KNOWN.run(conn, chunk.len(), id_cells(chunk)?).await?;
        known.extend(rows.into_iter().filter_map(|(id,)| JobId::from_uuid(id)));
    }
    Ok(known)
}

/// Jobs of a queue that wait: undispatched ones first, then those that are not due.
async fn waiting(
    conn: &mut SqliteConnection,
    queue: &QueueName,
    before: JobId,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    let text = concat!(
        "select * from (select ",
        job_columns!("jobs"),
        " from jobs where queue = ?1 and state = 1 and id < ?3 order by due_at, id limit ?2)
         union all
         select * from (select ",
        job_columns!("jobs"),
        " from jobs where wake_at is not null and queue = ?1 and state = 0 and id < ?3 limit ?2)
         limit ?2"
    );
    let rows: Vec<JobRow> = sqlx::query_as(text)
        .bind(queue.as_str().to_owned())
        .bind(limit)
        .bind(before.uuid())
        .fetch_all(conn)
        .await
        .map_err(failed)?;
    Ok(jobs(rows))
}
