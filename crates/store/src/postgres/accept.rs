//! New jobs.

use std::collections::{BTreeMap, HashSet};

use clerkwork_core::{ClerkId, JobId};
use clerkwork_faults::{Defect, Point, has, is_planned, reach};
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::days;
use super::keys;
use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use crate::cells::{self, beside, inline};
use crate::rows::{int, long};
use crate::{Accepted, Error, NewJob};

/// How often a batch is tried before it is given up.
pub(super) const TRIES: u32 = 4;

/// Accepts jobs, all or none. Lock time-outs, deadlocks and missing days try the batch again as a
/// whole; only refused data takes single jobs out of it.
pub(super) async fn accept(
    session: &mut Session,
    clerk: ClerkId,
    jobs: &[NewJob],
) -> Result<Vec<Accepted>, Error> {
    let mut unfit = cells::unfit(jobs);
    let mut tries = 0;
    loop {
        tries += 1;
        let mut answers: Vec<Option<Accepted>> = unfit
            .iter()
            .map(|unfit| unfit.then_some(Accepted::Unfit))
            .collect();
        let trouble = match batch(session, clerk, jobs, &mut answers).await {
            Ok(()) => {
                return Ok(answers
                    .into_iter()
                    .map(|one| one.unwrap_or(Accepted::New))
                    .collect());
            }
            Err(trouble) => trouble,
        };
        // Judged before the rollback: an error of that says nothing of what was done.
        let over = matches!(trouble, Trouble::Over(_)) && !has(Defect::RollbackBeforeVerdict);
        if tries == TRIES || over {
            return Err(trouble.error());
        }
        session.rollback().await?;
        match trouble {
            Trouble::Busy(_) | Trouble::Over(_) => {}
            Trouble::NoDay => {
                for day in by_day(jobs, &answers).into_keys() {
                    days::make(session, day).await?;
                }
            }
            Trouble::Data(text) => {
                tracing::warn!(
                    error = text,
                    "jobs that cannot be stored are taken out of a batch"
                );
                sift(session, clerk, jobs, &mut unfit).await?;
                cells::spread_unfit(jobs, &mut unfit);
            }
        }
    }
}

/// One try. Without keys and within a day it is one statement that commits itself.
async fn batch(
    session: &mut Session,
    clerk: ClerkId,
    jobs: &[NewJob],
    answers: &mut [Option<Accepted>],
) -> Result<(), Trouble> {
    let days = by_day(jobs, answers);
    let claims = jobs
        .iter()
        .any(|new| new.key.is_some() || new.job.retry_of.is_some());
    if days.len() <= 1 && !claims && !is_planned(Point::IntakeBeforeCommit) {
        for (day, open) in days {
            insert_day(session, clerk, day, jobs, &open, answers).await?;
        }
        return Ok(());
    }
    session.begin().await?;
    if claims {
        claim(session, clerk, jobs, answers).await?;
    }
    for (day, open) in by_day(jobs, answers) {
        insert_day(session, clerk, day, jobs, &open, answers).await?;
    }
    reach(Point::IntakeBeforeCommit);
    session.commit().await
}

/// The jobs that have no answer, by day.
fn by_day(jobs: &[NewJob], answers: &[Option<Accepted>]) -> BTreeMap<i32, Vec<usize>> {
    let mut days: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, new) in jobs.iter().enumerate() {
        if answers[at].is_none() {
            days.entry(new.job.id.day()).or_default().push(at);
        }
    }
    days
}

async fn insert_day(
    session: &mut Session,
    clerk: ClerkId,
    day: i32,
    jobs: &[NewJob],
    open: &[usize],
    answers: &mut [Option<Accepted>],
) -> Result<(), Trouble> {
    let chosen: Vec<&NewJob> = open.iter().map(|at| &jobs[*at]).collect();
    let mut stored = insert(session, clerk, day, &chosen).await?;
    for at in open {
        let new = stored.remove(&jobs[*at].job.id.uuid());
        answers[*at] = Some(if new {
            Accepted::New
        } else {
            Accepted::Already
        });
    }
    Ok(())
}

/// Marks the jobs whose data the database refuses, by halves, in a transaction that leaves nothing.
async fn sift(
    session: &mut Session,
    clerk: ClerkId,
    jobs: &[NewJob],
    unfit: &mut [bool],
) -> Result<(), Trouble> {
    session.begin().await?;
    let answers: Vec<Option<Accepted>> = unfit
        .iter()
        .map(|unfit| unfit.then_some(Accepted::Unfit))
        .collect();
    for (day, open) in by_day(jobs, &answers) {
        let mut parts = vec![open];
        while let Some(part) = parts.pop() {
            let chosen: Vec<&NewJob> = part.iter().map(|at| &jobs[*at]).collect();
            session.run("savepoint sift").await?;
            let tried = insert(session, clerk, day, &chosen).await;
            session.run("rollback to savepoint sift").await?;
            match (tried, part.as_slice()) {
                (Ok(_), _) => {}
                (Err(Trouble::Data(_)), [one]) => unfit[*one] = true,
                (Err(Trouble::Data(_)), many) => {
                    let (left, right) = many.split_at(many.len() / 2);
                    parts.extend([left.to_vec(), right.to_vec()]);
                }
                (Err(trouble), _) => return Err(trouble),
            }
        }
    }
    session.rollback().await
}

/// Answers the jobs whose key or original belongs to another.
async fn claim(
    session: &mut Session,
    clerk: ClerkId,
    jobs: &[NewJob],
    answers: &mut [Option<Accepted>],
) -> Result<(), Trouble> {
    unfenced(session, clerk).await?;
    for (new, answer) in jobs.iter().zip(&mut *answers) {
        if let (None, Some(original)) = (&answer, new.job.retry_of) {
            *answer = retry(session, new, original).await?;
        }
    }
    let keyed = crate::keys::unclaimed(jobs, answers);
    let claiming: Vec<&NewJob> = keyed.iter().map(|at| &jobs[*at]).collect();
    if !claiming.is_empty() {
        for (at, answer) in keyed
            .into_iter()
            .zip(keys::claim(session, &claiming).await?)
        {
            answers[at] = answer;
        }
    }
    Ok(())
}

/// Locks the clerk's row, which waits for a takeover and is waited for by one, and finds it unfenced.
pub(super) async fn unfenced(session: &mut Session, clerk: ClerkId) -> Result<(), Trouble> {
    let text = "select id from clerks where id = $1 and not fenced for key share";
    let found: Vec<i64> = session
        .scalars(sqlx::query_scalar(text).bind(clerk.0))
        .await?;
    if found.is_empty() {
        Err(Error::Fenced.into())
    } else {
        Ok(())
    }
}

/// Makes `new` the retry of `original`; an answer if that is not to be.
async fn retry(
    session: &mut Session,
    new: &NewJob,
    original: JobId,
) -> Result<Option<Accepted>, Trouble> {
    let text = "select state, retried_as from jobs_day
                where id = $1 and tenant = $2 and deleted_at is null for no key update";
    let query = sqlx::query_as(on_day(text, original.day()))
        .bind(original.uuid())
        .bind(new.job.tenant.as_ref());
    if !days::exists(session, original.day()).await? {
        return Ok(Some(Accepted::NoOriginal));
    }
    let found: Option<(i16, Option<Uuid>)> = session.row(query).await?;
    if let Some(answer) = crate::keys::judge_original(found, new.job.id)? {
        return Ok(Some(answer));
    }
    if new.key.is_some()
        && let Some(answer) = keys::claim(session, &[new])
            .await?
            .into_iter()
            .next()
            .flatten()
    {
        return Ok(Some(answer));
    }
    let text = "update jobs_day set retried_as = $2 where id = $1";
    let query = sqlx::query(on_day(text, original.day()))
        .bind(original.uuid())
        .bind(new.job.id.uuid());
    session.execute(query).await?;
    Ok(None)
}

/// What a batch of new jobs came to.
#[derive(FromRow)]
struct Stored {
    alive: bool,
    ids: Vec<Uuid>,
}

/// Tags and bytes need no look at which jobs were new: those of the others are there already.
const INSERT: &str = "
    with clerk as materialized (
        select id from clerks where id = $1 and not fenced for key share
    ), new as (
        insert into jobs_day (id, tenant, queue, state, rev, attempt, timeout_s, start_within_s,
            max_attempts, retry_delay_s, webhook, tags, trace_parent, trace_state, input_type,
            input_size, created_at, due_at, wake_at, clerk, number, retry_of, input)
        select * from unnest($2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::int[],
            $7::int[], $8::int[], $9::int[], $10::int[], $11::int[], $12::text[], $13::text[],
            $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[], $19::bigint[],
            $20::bigint[], $21::bigint[], $22::bigint[], $23::uuid[], $24::bytea[])
        where exists (select from clerk)
        on conflict (id) do nothing
        returning id
    ), tagged as (
        insert into tags_day (tenant, tag, job_id)
        select * from unnest($25::text[], $26::text[], $27::uuid[])
        where exists (select from clerk)
        on conflict do nothing
    ), kept as (
        insert into bytes_day (job_id, part, bytes)
        select id, 0, bytes from unnest($28::uuid[], $29::bytea[]) as large (id, bytes)
        where exists (select from clerk)
        on conflict do nothing
    )
    select exists (select from clerk) as alive, array(select id from new) as ids";

/// Stores jobs of one day; the ids of those that were new.
async fn insert(
    session: &mut Session,
    clerk: ClerkId,
    day: i32,
    jobs: &[&NewJob],
) -> Result<HashSet<Uuid>, Trouble> {
    let query = sqlx::query_as(on_day(INSERT, day)).bind(clerk.0);
    match session.row(beside_rows(rows(query, jobs), jobs)).await? {
        Some(stored) if stored.alive => Ok(stored.ids.into_iter().collect()),
        _ => Err(Error::Fenced.into()),
    }
}

type Inserting<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, Stored, sqlx::postgres::PgArguments>;

/// The jobs' own rows.
fn rows<'q>(query: Inserting<'q>, jobs: &[&'q NewJob]) -> Inserting<'q> {
    query
        .bind(column(jobs, |new| new.job.id.uuid()))
        .bind(column(jobs, |new| new.job.tenant.as_ref()))
        .bind(column(jobs, |new| new.job.queue.as_str()))
        .bind(column(jobs, |new| new.job.standing.state.number()))
        .bind(column(jobs, |new| int(new.job.standing.rev)))
        .bind(column(jobs, |new| int(new.job.standing.attempt)))
        .bind(column(jobs, |new| int(new.job.spec.timeout_s)))
        .bind(column(jobs, |new| new.job.spec.start_within_s.map(int)))
        .bind(column(jobs, |new| int(new.job.spec.max_attempts)))
        .bind(column(jobs, |new| int(new.job.spec.retry_delay_s)))
        .bind(column(jobs, |new| new.job.spec.webhook.as_deref()))
        .bind(column(jobs, |new| cells::tags(&new.job.spec)))
        .bind(column(jobs, |new| {
            new.job
                .spec
                .trace
                .as_ref()
                .map(|trace| trace.parent.as_str())
        }))
        .bind(column(jobs, |new| {
            new.job
                .spec
                .trace
                .as_ref()
                .and_then(|trace| trace.state.as_deref())
        }))
        .bind(column(jobs, |new| new.job.input.media_type.as_str()))
        .bind(column(jobs, |new| long(new.job.input.size)))
        .bind(column(jobs, |new| new.job.created_at.0))
        .bind(column(jobs, |new| new.job.standing.due_at.0))
        .bind(column(jobs, |new| new.job.standing.wake_at.map(|at| at.0)))
        .bind(column(jobs, |new| {
            new.job.standing.dispatch.map(|dispatch| dispatch.clerk.0)
        }))
        .bind(column(jobs, |new| {
            new.job.standing.dispatch.map(|dispatch| dispatch.number)
        }))
        .bind(column(jobs, |new| new.job.retry_of.map(JobId::uuid)))
        .bind(column(jobs, |new| inline(&new.input)))
}

/// Their tags and large inputs.
fn beside_rows<'q>(query: Inserting<'q>, jobs: &[&'q NewJob]) -> Inserting<'q> {
    let tags: Vec<_> = jobs
        .iter()
        .flat_map(|new| new.job.spec.tags.iter().map(move |tag| (new, tag)))
        .collect();
    let large: Vec<_> = jobs
        .iter()
        .filter_map(|new| Some((new.job.id.uuid(), beside(&new.input)?)))
        .collect();
    query
        .bind(column(&tags, |(new, _)| new.job.tenant.as_ref()))
        .bind(column(&tags, |(_, tag)| tag.as_str()))
        .bind(column(&tags, |(new, _)| new.job.id.uuid()))
        .bind(column(&large, |(id, _)| *id))
        .bind(column(&large, |(_, bytes)| *bytes))
}
