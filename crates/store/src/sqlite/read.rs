//! Reading jobs.

use std::collections::HashMap;

use bytes::Bytes;
use clerkwork_core::{Job, JobId};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::failed;
use super::hand::Inner;
use super::write::{INPUT, OUTPUT};
use crate::api_keys::queues_cell;
use crate::cells::brings_along;
use crate::rows::{BesideRow, BlobRow, HistoryRow, JobRow, KeptRow, job_columns, jobs, readable};
use crate::search::{LookedRow, Search};
use crate::{AttemptRow, Blob, Error, Filter, Kept, Listed};

/// The state of a job's webhook, as JSON; looked for only where there is one.
macro_rules! webhook_cell {
    () => {
        ", case when jobs.webhook is not null and jobs.state >= 10 then
             (select json_array(w.state, w.attempts, w.last_status, w.due_at) from webhooks as w
              where w.job_id = jobs.id) end as webhook_cell"
    };
}

static GET: Batch = Batch::new(
    concat!(
        "with told (tenant) as (values (?)) select ",
        job_columns!("jobs"),
        webhook_cell!(),
        ", output from told, jobs where deleted_at is null
             and (told.tenant is null or jobs.tenant = told.tenant) and id in"
    ),
    1,
    "",
);

static BESIDE: Batch = Batch::new(
    "with told (part) as (values (?))
     select job_id, bytes from told, bytes where bytes.part = told.part and job_id in",
    1,
    "",
);

pub(super) async fn get(
    inner: &Inner,
    tenant: Option<&str>,
    ids: &[JobId],
    outputs: u64,
) -> Result<Vec<Kept>, Error> {
    let mut reading = inner.read().await?;
    let mut found = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(MOST) {
        let mut cells = Cells::default();
        cells.put(tenant)?;
        for id in chunk {
            cells.put(id.uuid())?;
        }
        let rows: Vec<KeptRow> = GET.run(&mut reading, chunk.len(), cells).await?;
        for row in rows {
            found.push(row.kept()?);
        }
    }
    let mut large = Vec::new();
    for kept in &mut found {
        if !brings_along(&kept.job, outputs) {
            kept.output = None;
        } else if kept.output.is_none() {
            large.push(kept.job.id);
        }
    }
    let mut bytes = beside(&mut reading, &large, OUTPUT).await?;
    reading.done();
    for kept in &mut found {
        if let Some(bytes) = bytes.remove(&kept.job.id.uuid()) {
            kept.output = Some(bytes);
        }
    }
    Ok(found)
}

/// Large inputs or outputs, by job.
pub(super) async fn beside(
    conn: &mut SqliteConnection,
    ids: &[JobId],
    part: i16,
) -> Result<HashMap<Uuid, Bytes>, Error> {
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(MOST) {
        let mut cells = Cells::default();
        cells.put(part)?;
        for id in chunk {
            cells.put(id.uuid())?;
        }
        let rows: Vec<BesideRow> = BESIDE.run(conn, chunk.len(), cells).await?;
        found.extend(
            rows.into_iter()
                .map(|row| (row.job_id, Bytes::from(row.bytes))),
        );
    }
    Ok(found)
}

pub(super) async fn input(
    inner: &Inner,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Blob>, Error> {
    let text = "select input_type as media_type, input_size as size, input as bytes from jobs
                where id = ?1 and deleted_at is null and (?2 is null or tenant = ?2)";
    blob(inner, text, tenant, id, INPUT).await
}

pub(super) async fn output(
    inner: &Inner,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Blob>, Error> {
    let text = "select output_type as media_type, output_size as size, output as bytes from jobs
                where id = ?1 and deleted_at is null and (?2 is null or tenant = ?2)";
    blob(inner, text, tenant, id, OUTPUT).await
}

async fn blob(
    inner: &Inner,
    text: &'static str,
    tenant: Option<&str>,
    id: JobId,
    part: i16,
) -> Result<Option<Blob>, Error> {
    let mut reading = inner.read().await?;
    let row: Option<BlobRow> = sqlx::query_as(text)
        .bind(id.uuid())
        .bind(tenant.map(str::to_owned))
        .fetch_optional(&mut *reading)
        .await
        .map_err(failed)?;
    let beside = match &row {
        Some(BlobRow {
            bytes: None,
            size: Some(_),
            ..
        }) => beside(&mut reading, &[id], part).await?.remove(&id.uuid()),
        _ => None,
    };
    reading.done();
    row.map_or(Ok(None), |row| row.blob(id, beside))
}

pub(super) async fn attempts(inner: &Inner, id: JobId) -> Result<Vec<AttemptRow>, Error> {
    let mut reading = inner.read().await?;
    let text = "select attempt, worker, started_at, finished_at, failure from attempts
                where job_id = ? order by attempt";
    let rows: Vec<HistoryRow> = sqlx::query_as(text)
        .bind(id.uuid())
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(HistoryRow::attempt).collect()
}

/// The condition of a row that the list shows.
macro_rules! fits {
    () => {
        "(deleted_at is null
          and (?4 is null or queue in (select value from json_each(?4)))
          and (?5 = 0 or (?5 >> state) & 1 = 1)) as fits"
    };
}

const LOOK: &str = concat!(
    "select id, ",
    fits!(),
    " from jobs where tenant = ?1 and id < ?2 and id >= ?3 order by id desc limit ?6"
);

const LOOK_TAGGED: &str = concat!(
    "select job_id as id, ",
    fits!(),
    " from tags cross join jobs on jobs.id = tags.job_id
     where tags.tenant = ?1 and tags.tag = ?7 and tags.job_id < ?2 and tags.job_id >= ?3
     order by tags.job_id desc limit ?6"
);

static LISTED: Batch = Batch::new(
    concat!(
        "select ",
        job_columns!("jobs"),
        webhook_cell!(),
        ", null as output from jobs where deleted_at is null and id in"
    ),
    1,
    "",
);

/// A page of jobs.
pub(super) async fn list(inner: &Inner, tenant: &str, filter: &Filter) -> Result<Listed, Error> {
    let mut reading = inner.read_list().await?;
    let mut search = Search::new(filter);
    loop {
        let chunk = search.chunk();
        let rows = look(&mut reading, tenant, filter, search.before(), chunk).await?;
        let ids = search.looked(chunk, &rows)?;
        if !ids.is_empty() {
            let mut cells = Cells::default();
            for id in &ids {
                cells.put(*id)?;
            }
            let rows: Vec<KeptRow> = LISTED.run(&mut reading, ids.len(), cells).await?;
            let kept = rows.into_iter().filter_map(|row| readable(row.kept()));
            search.found(kept.collect(), &ids);
        }
        if !search.goes_on(inner.is_list_wanted()) {
            break;
        }
        reading = reading.let_others(inner).await?;
    }
    reading.done();
    Ok(search.page())
}

/// A chunk of rows, from the newest on.
async fn look(
    conn: &mut SqliteConnection,
    tenant: &str,
    filter: &Filter,
    before: Uuid,
    chunk: u32,
) -> Result<Vec<LookedRow>, Error> {
    let states = filter
        .states
        .iter()
        .fold(0i64, |mask, state| mask | 1 << state.number());
    let some = (!filter.queues.is_empty()).then_some(&filter.queues);
    let queues = some.map(|queues| queues_cell(queues)).transpose()?;
    let text = if filter.tag.is_some() {
        LOOK_TAGGED
    } else {
        LOOK
    };
    let mut query = sqlx::query_as(text)
        .bind(tenant.to_owned())
        .bind(before)
        .bind(filter.from.map_or(Uuid::nil(), JobId::uuid))
        .bind(queues)
        .bind(states)
        .bind(chunk);
    if let Some(tag) = &filter.tag {
        query = query.bind(tag.as_str().to_owned());
    }
    query.fetch_all(conn).await.map_err(failed)
}

/// Dispatched and running jobs, in id order after `after`.
pub(super) async fn out(
    inner: &Inner,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    let text = concat!(
        "select ",
        job_columns!("jobs"),
        " from jobs indexed by jobs_out where state in (2, 3) and id > ? order by id limit ?"
    );
    let mut reading = inner.read().await?;
    let rows: Vec<JobRow> = sqlx::query_as(text)
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .bind(limit)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(jobs(rows))
}
