//! Successes.

use std::collections::{BTreeMap, HashMap, HashSet};

use clerkwork_core::{JobId, UnixMs};
use clerkwork_faults::{Point, is_planned, reach};
use uuid::Uuid;

use super::accept::TRIES;
use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use super::{later, read};
use crate::cells::{beside, inline, storable};
use crate::rows::{int, size};
use crate::succeed::{RecordedRow, Round};
use crate::{Error, Recorded, Success};

/// Stores the successes of a batch, which keeps what became of them where this fails on the way.
pub(super) async fn succeed(
    session: &mut Session,
    round: &mut Round<'_>,
    now: UnixMs,
) -> Result<(), Error> {
    let mut tries = 0;
    while !round.open().is_empty() {
        tries += 1;
        match store(session, round.open(), now).await {
            Ok(jobs) => {
                round.settle(jobs);
                tries = 0;
            }
            Err(Trouble::Busy(_)) if tries < TRIES => session.rollback().await?,
            Err(trouble) => return Err(trouble.error()),
        }
    }
    let doubtful = round.doubtful();
    if !doubtful.is_empty() {
        let known: HashSet<JobId> = read::known(session, &doubtful).await?;
        round.late(&known);
    }
    Ok(())
}

/// Stores successes of different jobs; what was done. Within a day it is one statement that commits
/// itself.
async fn store(
    session: &mut Session,
    successes: &[&Success],
    now: UnixMs,
) -> Result<HashMap<JobId, Recorded>, Trouble> {
    let days = by_day(successes);
    let several = days.len() > 1 || is_planned(Point::RecordBeforeCommit);
    if several {
        session.begin().await?;
    }
    let mut recorded = HashMap::with_capacity(successes.len());
    for (day, successes) in days {
        if several && !super::days::exists(session, day).await? {
            continue;
        }
        match store_day(session, day, &successes, now).await {
            Ok(done) => recorded.extend(done),
            Err(Trouble::NoDay) if !several => {}
            Err(trouble) => return Err(trouble),
        }
    }
    if several {
        reach(Point::RecordBeforeCommit);
        session.commit().await?;
    }
    Ok(recorded)
}

fn by_day<'a>(successes: &[&'a Success]) -> BTreeMap<i32, Vec<&'a Success>> {
    later::by_day(successes.to_vec(), |success| success.job.uuid())
}

/// The time at which a success ends its job: now, but never before what is on record.
macro_rules! end {
    () => {
        "greatest($1, coalesce(j.started_at, j.created_at))"
    };
}

/// As `transition` has it for a success; the conformance suite holds them equal. Rows are locked in
/// the order of their ids, in which the successes come.
const SUCCEED: &str = concat!(
    "with done as (
        update jobs_day as j set state = 10, rev = j.rev + 1, wake_at = null, finished_at = ",
    end!(),
    ", held = false, unlisted = false, worker = coalesce(said.worker, j.worker),
            started_at = case
                when j.state = 3 and j.started_at is not null
                    then least(greatest(j.started_at, j.created_at), ",
    end!(),
    ")
                when said.started_at is not null
                    then least(greatest(said.started_at, j.created_at), ",
    end!(),
    ")
                else coalesce(j.started_at, ",
    end!(),
    ")
            end,
            output_type = said.media_type, output_size = said.size, output = said.output
        from unnest($2::uuid[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
            $8::bytea[]) as said (id, attempt, worker, started_at, media_type, size, output)
        where j.id = said.id and j.state < 10 and said.attempt between 1 and j.attempt
        returning j.id, j.queue, j.rev, j.webhook is not null as tells, j.finished_at
    ), kept as (
        insert into bytes_day (job_id, part, bytes)
        select id, 1, bytes from unnest($9::uuid[], $10::bytea[]) as large (id, bytes)
        where exists (select from done where done.id = large.id)
        on conflict do nothing
    ), told as (
        insert into webhooks_day (job_id, state, attempts, due_at, look_at)
        select id, 0, 0, finished_at, finished_at from done where tells
        on conflict do nothing
    )
    select id, queue, rev from done"
);

async fn store_day(
    session: &mut Session,
    day: i32,
    successes: &[&Success],
    now: UnixMs,
) -> Result<Vec<(JobId, Recorded)>, Trouble> {
    let large: Vec<(Uuid, &[u8])> = successes
        .iter()
        .filter_map(|one| Some((one.job.uuid(), beside(&one.output)?)))
        .collect();
    let query = sqlx::query_as::<_, RecordedRow>(on_day(SUCCEED, day))
        .bind(now.0)
        .bind(column(successes, |one| one.job.uuid()))
        .bind(column(successes, |one| int(one.attempt)))
        .bind(column(successes, |one| one.worker.as_deref().map(storable)))
        .bind(column(successes, |one| one.started_at.map(|at| at.0)))
        .bind(column(successes, |one| one.media_type.as_str()))
        .bind(column(successes, |one| size(&one.output)))
        .bind(column(successes, |one| inline(&one.output)))
        .bind(column(&large, |(id, _)| *id))
        .bind(column(&large, |(_, bytes)| *bytes));
    let rows = session.rows(query).await?;
    Ok(rows
        .into_iter()
        .map(RecordedRow::recorded)
        .collect::<Result<_, _>>()?)
}

/// The plan of [`SUCCEED`] on today's tables.
#[cfg(feature = "conformance")]
pub(super) async fn plan(options: &super::Options) -> Result<String, Error> {
    let mut session = options.session().await?;
    let now = super::schema::now(&mut session).await?;
    let text = on_day(SUCCEED, now.day());
    let prepare = format!("prepare hot as {}", text.as_str());
    session
        .execute(sqlx::query(sqlx::AssertSqlSafe(prepare)).persistent(false))
        .await?;
    let explain = "explain (costs off) execute hot (
        0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";
    let lines: Vec<String> = session.scalars(sqlx::query_scalar(explain)).await?;
    session.close().await;
    Ok(lines.join("\n"))
}
