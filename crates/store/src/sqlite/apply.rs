//! Changes that `transition` decided.

use std::collections::HashSet;

use clerkwork_core::{AttemptEnd, Change};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::write::{OUTPUT, insert_bytes};
use crate::Error;
use crate::cells::{self, Ending, beside, inline, storable};
use crate::rows::int;

static APPLY: Batch = Batch::new(
    "update jobs set rev = new.column4, state = new.column5, attempt = new.column6,
         failures = new.column7, doubts = new.column8, due_at = new.column9,
         wake_at = new.column10, started_at = new.column11, finished_at = new.column12,
         cancel_requested_at = new.column13, clerk = new.column14, number = new.column15,
         worker = new.column16, held = new.column17, unlisted = new.column18,
         output_type = new.column19, output_size = new.column20, output = new.column21,
         failure = new.column22
     from",
    22,
    "as new where jobs.id = new.column1 and jobs.rev = new.column2
         and jobs.wake_at is new.column3 and jobs.state < 10
     returning id",
);

static HISTORY: Batch = Batch::new(
    "insert into attempts (job_id, attempt, worker, started_at, finished_at, failure)
     select * from",
    6,
    "where column1 is not null on conflict do nothing",
);

static CANCELS: Batch = Batch::new(
    "insert into cancels (job_id, attempt, queue, asked_at)
     select column1, column2, jobs.queue, column3 from jobs,",
    3,
    "as stop where jobs.id = stop.column1 on conflict do nothing",
);

/// Stores the changes whose version still fits, in the transaction of `conn`.
pub(super) async fn apply(
    conn: &mut SqliteConnection,
    changes: &[Change],
) -> Result<Vec<bool>, Error> {
    let mut applied: HashSet<Uuid> = HashSet::with_capacity(changes.len());
    for chunk in changes.chunks(MOST) {
        let mut cells = Cells::default();
        for change in chunk {
            put(&mut cells, change)?;
        }
        let rows: Vec<(Uuid,)> = APPLY.run(conn, chunk.len(), cells).await?;
        applied.extend(rows.into_iter().map(|(id,)| id));
    }
    let done: Vec<&Change> = changes
        .iter()
        .filter(|change| applied.contains(&change.id.uuid()))
        .collect();
    outputs(conn, &done).await?;
    history(conn, &done).await?;
    cancels(conn, &done).await?;
    Ok(changes
        .iter()
        .map(|change| applied.contains(&change.id.uuid()))
        .collect())
}

fn put(cells: &mut Cells, change: &Change) -> Result<(), Error> {
    let standing = &change.standing;
    let ending = Ending::of(change)?;
    cells.put(change.id.uuid())?;
    cells.put(int(change.from_rev))?;
    cells.put(change.from_wake_at.map(|at| at.0))?;
    cells.put(int(standing.rev))?;
    cells.put(standing.state.number())?;
    cells.put(int(standing.attempt))?;
    cells.put(int(standing.failures))?;
    cells.put(int(standing.doubts))?;
    cells.put(standing.due_at.0)?;
    cells.put(standing.wake_at.map(|at| at.0))?;
    cells.put(standing.started_at.map(|at| at.0))?;
    cells.put(standing.finished_at.map(|at| at.0))?;
    cells.put(standing.cancel_requested_at.map(|at| at.0))?;
    cells.put(standing.dispatch.map(|dispatch| dispatch.clerk.0))?;
    cells.put(standing.dispatch.map(|dispatch| dispatch.number))?;
    cells.put(standing.worker.as_deref().map(storable))?;
    cells.put(standing.held)?;
    cells.put(standing.unlisted)?;
    cells.put(ending.media_type)?;
    cells.put(ending.size)?;
    cells.put(ending.output.and_then(inline))?;
    cells.put(ending.failure)
}

async fn outputs(conn: &mut SqliteConnection, done: &[&Change]) -> Result<(), Error> {
    for change in done {
        if let Some(bytes) = Ending::of(change)?.output.and_then(beside) {
            insert_bytes(conn, change.id.uuid(), OUTPUT, bytes).await?;
        }
    }
    Ok(())
}

async fn history(conn: &mut SqliteConnection, done: &[&Change]) -> Result<(), Error> {
    let ended: Vec<(Uuid, &AttemptEnd)> = done
        .iter()
        .filter_map(|change| Some((change.id.uuid(), change.ended.as_ref()?)))
        .collect();
    for chunk in ended.chunks(MOST) {
        let mut cells = Cells::default();
        for (id, end) in chunk {
            cells.put(*id)?;
            cells.put(int(end.attempt))?;
            cells.put(end.worker.as_deref().map(storable))?;
            cells.put(end.started_at.map(|at| at.0))?;
            cells.put(end.finished_at.0)?;
            cells.put(end.failure.as_ref().map(cells::failure).transpose()?)?;
        }
        HISTORY.run::<(i64,)>(conn, chunk.len(), cells).await?;
    }
    Ok(())
}

async fn cancels(conn: &mut SqliteConnection, done: &[&Change]) -> Result<(), Error> {
    let stops: Vec<(&Change, u32)> = done
        .iter()
        .filter_map(|change| Some((*change, change.stop?)))
        .collect();
    for chunk in stops.chunks(MOST) {
        let mut cells = Cells::default();
        for (change, attempt) in chunk {
            cells.put(change.id.uuid())?;
            cells.put(int(*attempt))?;
            cells.put(change.standing.cancel_requested_at.map_or(0, |at| at.0))?;
        }
        CANCELS.run::<(i64,)>(conn, chunk.len(), cells).await?;
    }
    Ok(())
}
