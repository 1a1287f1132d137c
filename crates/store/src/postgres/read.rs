//! Reading jobs.

use std::collections::HashSet;

use clerkwork_core::{Job, JobId};
use tokio::time::Instant;
use uuid::Uuid;

use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use super::write::id_days;
#[cfg(feature = "conformance")]
use crate::Error;
use crate::cells::brings_along;
use crate::rows::{BlobRow, HistoryRow, JobRow, KeptRow, job_columns, jobs, readable};
use crate::search::{LookedRow, Search};
use crate::{AttemptRow, Blob, Filter, Kept, Listed};

/// What has become of a job's webhook, as JSON; looked for only where there is one.
macro_rules! webhook_cell {
    ($webhooks:literal) => {
        concat!(
            ", case when j.webhook is not null and j.state >= 10 then
                (select json_build_array(w.state, w.attempts, w.last_status, w.due_at)::text from ",
            $webhooks,
            " as w where w.job_id = j.id) end as webhook_cell"
        )
    };
}

const GET: &str = concat!(
    "select ",
    job_columns!("j"),
    webhook_cell!("webhooks_day"),
    ", case when j.output_size <= $3 then
           coalesce(j.output, (select bytes from bytes_day where job_id = j.id and part = 1))
       end as output
     from jobs_day as j
     where j.id = any($1) and j.deleted_at is null and ($2::text is null or j.tenant = $2)"
);

pub(super) async fn get(
    session: &mut Session,
    tenant: Option<&str>,
    ids: &[JobId],
    outputs: u64,
) -> Result<Vec<Kept>, Trouble> {
    let mut found = Vec::with_capacity(ids.len());
    for (day, ids) in id_days(ids) {
        let query = sqlx::query_as(on_day(GET, day))
            .bind(ids)
            .bind(tenant)
            .bind(crate::rows::long(outputs));
        let rows: Vec<KeptRow> = or_none(session.rows(query).await)?;
        for row in rows {
            let mut kept = row.kept()?;
            if !brings_along(&kept.job, outputs) {
                kept.output = None;
            }
            found.push(kept);
        }
    }
    Ok(found)
}

const LOAD: &str = concat!(
    "select ",
    job_columns!("j"),
    " from jobs_day as j where j.id = any($1)"
);

pub(super) async fn load(session: &mut Session, ids: &[JobId]) -> Result<Vec<Job>, Trouble> {
    let mut found = Vec::with_capacity(ids.len());
    for (day, ids) in id_days(ids) {
        let rows: Vec<JobRow> = or_none(
            session
                .rows(sqlx::query_as(on_day(LOAD, day)).bind(ids))
                .await,
        )?;
        found.extend(jobs(rows));
    }
    Ok(found)
}

/// Which of these jobs are there, deleted ones too.
pub(super) async fn known(session: &mut Session, ids: &[JobId]) -> Result<HashSet<JobId>, Trouble> {
    let text = "select id from jobs_day where id = any($1)";
    let mut found = HashSet::with_capacity(ids.len());
    for (day, ids) in id_days(ids) {
        let query = sqlx::query_scalar(on_day(text, day)).bind(ids);
        let ids: Vec<Uuid> = or_none(session.scalars(query).await)?;
        found.extend(ids.into_iter().filter_map(JobId::from_uuid));
    }
    Ok(found)
}

const INPUT: &str = "
    select input_type as media_type, input_size as size,
        coalesce(input, (select bytes from bytes_day where job_id = id and part = 0)) as bytes
    from jobs_day where id = $1 and deleted_at is null and ($2::text is null or tenant = $2)";

const OUTPUT: &str = "
    select output_type as media_type, output_size as size,
        coalesce(output, (select bytes from bytes_day where job_id = id and part = 1)) as bytes
    from jobs_day where id = $1 and deleted_at is null and ($2::text is null or tenant = $2)";

pub(super) async fn input(
    session: &mut Session,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Blob>, Trouble> {
    blob(session, INPUT, tenant, id).await
}

pub(super) async fn output(
    session: &mut Session,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Blob>, Trouble> {
    blob(session, OUTPUT, tenant, id).await
}

async fn blob(
    session: &mut Session,
    text: &'static str,
    tenant: Option<&str>,
    id: JobId,
) -> Result<Option<Blob>, Trouble> {
    let query = sqlx::query_as(on_day(text, id.day()))
        .bind(id.uuid())
        .bind(tenant);
    let row: Option<BlobRow> = or_none(session.row(query).await)?;
    Ok(row.map_or(Ok(None), |row| row.blob(id, None))?)
}

pub(super) async fn attempts(session: &mut Session, id: JobId) -> Result<Vec<AttemptRow>, Trouble> {
    let text = "select attempt, worker, started_at, finished_at, failure from attempts_day
                where job_id = $1 order by attempt";
    let query = sqlx::query_as(on_day(text, id.day())).bind(id.uuid());
    let rows: Vec<HistoryRow> = or_none(session.rows(query).await)?;
    Ok(rows
        .into_iter()
        .map(HistoryRow::attempt)
        .collect::<Result<_, _>>()?)
}

/// Whether the row is one that the list shows.
macro_rules! fits {
    () => {
        "(j.deleted_at is null
          and (cardinality($4::text[]) = 0 or j.queue = any($4))
          and (cardinality($5::smallint[]) = 0 or j.state = any($5))) as fits"
    };
}

macro_rules! look {
    () => {
        concat!(
            "select j.id, ",
            fits!(),
            " from jobs as j where (j.tenant, j.id) < ($1, $2) and (j.tenant, j.id) >= ($1, $3)
             order by j.tenant desc, j.id desc limit $6"
        )
    };
}

/// Compared and ordered as the tenants' index is: the plan is made for no tenant in particular, and with
/// `tenant = $1` it may walk the days by their keys, past the jobs of all other tenants.
const LOOK: &str = look!();

const LOOK_TAGGED: &str = concat!(
    "select t.job_id as id, ",
    fits!(),
    " from tags as t join jobs as j on j.id = t.job_id
     where t.tenant = $1 and t.tag = $7 and t.job_id < $2 and t.job_id >= $3
     order by t.job_id desc limit $6"
);

const LISTED: &str = concat!(
    "select ",
    job_columns!("j"),
    webhook_cell!("webhooks"),
    ", null::bytea as output from jobs as j where j.id = any($1) and j.deleted_at is null"
);

/// A page of jobs; its statements end at the server by `end`, whether or not anybody waits still.
pub(super) async fn list(
    session: &mut Session,
    tenant: &str,
    filter: &Filter,
    end: Instant,
    is_wanted: impl Fn() -> bool,
) -> Result<Listed, Trouble> {
    let states: Vec<i16> = filter.states.iter().map(|state| state.number()).collect();
    let mut search = Search::new(filter);
    loop {
        let chunk = search.chunk();
        let text = if filter.tag.is_some() {
            LOOK_TAGGED
        } else {
            LOOK
        };
        let mut look = sqlx::query_as(text)
            .bind(tenant)
            .bind(search.before())
            .bind(filter.from.map_or(Uuid::nil(), JobId::uuid))
            .bind(column(&filter.queues, clerkwork_core::QueueName::as_str))
            .bind(&states)
            .bind(i64::from(chunk));
        if let Some(tag) = &filter.tag {
            look = look.bind(tag.as_str());
        }
        session.end_statements_by(end).await?;
        let rows: Vec<LookedRow> = session.rows(look).await?;
        let ids = search.looked(chunk, &rows)?;
        if !ids.is_empty() {
            session.end_statements_by(end).await?;
            let rows: Vec<KeptRow> = session.rows(sqlx::query_as(LISTED).bind(&ids)).await?;
            let kept = rows.into_iter().filter_map(|row| readable(row.kept()));
            search.found(kept.collect(), &ids);
        }
        if !search.goes_on(is_wanted()) {
            return Ok(search.page());
        }
    }
}

/// No index knows what is out, so that quick jobs stay heap-only: this reads all jobs after `after`.
const OUT: &str = concat!(
    "select ",
    job_columns!("j"),
    " from jobs as j where j.id > $1 and j.state in (2, 3) order by j.id limit $2"
);

pub(super) async fn out(
    session: &mut Session,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Trouble> {
    let query = sqlx::query_as(OUT)
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .bind(i64::from(limit));
    let rows: Vec<JobRow> = session.rows(query).await?;
    Ok(jobs(rows))
}

/// A day whose tables are not there has no jobs.
fn or_none<T: Default>(found: Result<T, Trouble>) -> Result<T, Trouble> {
    match found {
        Err(Trouble::NoDay) => Ok(T::default()),
        found => found,
    }
}

/// The plan of [`LOOK`].
#[cfg(feature = "conformance")]
pub(super) async fn plan_of_look(options: &super::Options) -> Result<String, Error> {
    let mut session = options.session().await?;
    let prepare = concat!(
        "prepare look (text, uuid, uuid, text[], smallint[], bigint) as ",
        look!()
    );
    session
        .execute(sqlx::query(prepare).persistent(false))
        .await?;
    let explain = "explain (costs off) execute look (
        'default', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000',
        '{}', '{}', 500)";
    let lines: Vec<String> = session.scalars(sqlx::query_scalar(explain)).await?;
    session.close().await;
    Ok(lines.join("\n"))
}
