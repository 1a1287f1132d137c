//! Changes that `transition` decided.

use std::collections::{BTreeMap, HashSet};

use clerkwork_core::{AttemptEnd, Change, Standing};
use clerkwork_faults::{Defect, Point, has, is_planned, reach};
use uuid::Uuid;

use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use crate::cells::{self, Ending, beside, inline, storable};
use crate::rows::int;

/// Rows are locked in the order of their ids, in which the changes come.
const APPLY: &str = "
    with done as (
        update jobs_day as j set rev = new.rev, state = new.state, attempt = new.attempt,
            failures = new.failures, doubts = new.doubts, due_at = new.due_at,
            wake_at = new.wake_at, started_at = new.started_at, finished_at = new.finished_at,
            cancel_requested_at = new.cancel_requested_at, clerk = new.clerk,
            number = new.number, worker = new.worker, held = new.held,
            unlisted = new.unlisted, output_type = new.output_type,
            output_size = new.output_size, output = new.output, failure = new.failure
        from unnest($1::uuid[], $2::int[], $3::bigint[], $4::int[], $5::smallint[], $6::int[],
            $7::int[], $8::int[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
            $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], $17::bool[], $18::bool[],
            $19::text[], $20::bigint[], $21::bytea[], $22::text[])
            as new (id, from_rev, from_wake_at, rev, state, attempt, failures, doubts, due_at,
                wake_at, started_at, finished_at, cancel_requested_at, clerk, number, worker,
                held, unlisted, output_type, output_size, output, failure)
        where j.id = new.id and j.rev = new.from_rev
            and j.wake_at is not distinct from new.from_wake_at and j.state < 10
        returning j.id, j.queue, j.webhook is not null and j.state >= 10 as tells, j.finished_at
    ), kept as (
        insert into bytes_day (job_id, part, bytes)
        select id, 1, bytes from unnest($23::uuid[], $24::bytea[]) as large (id, bytes)
        where exists (select from done where done.id = large.id)
        on conflict do nothing
    ), history as (
        insert into attempts_day (job_id, attempt, worker, started_at, finished_at, failure)
        select * from unnest($25::uuid[], $26::int[], $27::text[], $28::bigint[], $29::bigint[],
            $30::text[]) as ended (id)
        where exists (select from done where done.id = ended.id)
        on conflict do nothing
    ), stopped as (
        insert into cancels (job_id, attempt, queue, asked_at)
        select done.id, stop.attempt, done.queue, stop.asked_at
        from unnest($31::uuid[], $32::int[], $33::bigint[]) as stop (id, attempt, asked_at)
        join done on done.id = stop.id
        on conflict do nothing
    ), told as (
        insert into webhooks_day (job_id, state, attempts, due_at, look_at)
        select id, 0, 0, finished_at, finished_at from done where tells
        on conflict do nothing
    )
    select id from done";

/// Cancels are numbered in the order in which they are committed, so that whoever reads on from a
/// number misses none.
const ORDER_CANCELS: &str =
    "select pg_advisory_xact_lock(hashtext('clerkwork cancels ' || current_schema()))";

/// Stores the changes whose version still fits, in a transaction that is open.
pub(super) async fn within(
    session: &mut Session,
    changes: &[Change],
) -> Result<Vec<bool>, Trouble> {
    let mut days: BTreeMap<i32, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        days.entry(change.id.day()).or_default().push(change);
    }
    if changes.iter().any(|change| change.stop.is_some()) {
        session.execute(sqlx::query(ORDER_CANCELS)).await?;
    }
    let mut applied: HashSet<Uuid> = HashSet::with_capacity(changes.len());
    for (day, mut changes) in days {
        changes.sort_unstable_by_key(|change| change.id);
        applied.extend(apply_day(session, day, &changes).await?);
    }
    Ok(changes
        .iter()
        .map(|change| applied.contains(&change.id.uuid()))
        .collect())
}

/// Stores them in a transaction of their own; without cancels and within a day that is one statement.
pub(super) async fn apply(session: &mut Session, changes: &[Change]) -> Result<Vec<bool>, Trouble> {
    let one_day = changes
        .windows(2)
        .all(|pair| pair[0].id.day() == pair[1].id.day());
    let plain = one_day && changes.iter().all(|change| change.stop.is_none());
    if plain && !is_planned(Point::RecordBeforeCommit) {
        return within(session, changes).await;
    }
    session.begin().await?;
    let applied = within(session, changes).await?;
    reach(Point::RecordBeforeCommit);
    session.commit().await?;
    Ok(applied)
}

async fn apply_day(
    session: &mut Session,
    day: i32,
    changes: &[&Change],
) -> Result<Vec<Uuid>, Trouble> {
    if has(Defect::LastWins) {
        let text = "update jobs_day set state = 2 where id = any($1) and state >= 10";
        let ids = column(changes, |change| change.id.uuid());
        session
            .execute(sqlx::query(on_day(text, day)).bind(ids))
            .await?;
    }
    let query = standings(sqlx::query_scalar(on_day(APPLY, day)), changes);
    let ended: Vec<Ending<'_>> = changes
        .iter()
        .map(|change| Ending::of(change))
        .collect::<Result<_, _>>()?;
    let query = history(endings(query, changes, &ended), changes)?;
    session.scalars(stops(query, changes)).await
}

type Applying<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, Uuid, sqlx::postgres::PgArguments>;

fn standings<'q>(query: Applying<'q>, changes: &[&'q Change]) -> Applying<'q> {
    let standings: Vec<&'q Standing> = changes.iter().map(|change| &change.standing).collect();
    query
        .bind(column(changes, |change| change.id.uuid()))
        .bind(column(changes, |change| int(change.from_rev)))
        .bind(column(changes, |change| change.from_wake_at.map(|at| at.0)))
        .bind(column(&standings, |standing| int(standing.rev)))
        .bind(column(&standings, |standing| standing.state.number()))
        .bind(column(&standings, |standing| int(standing.attempt)))
        .bind(column(&standings, |standing| int(standing.failures)))
        .bind(column(&standings, |standing| int(standing.doubts)))
        .bind(column(&standings, |standing| standing.due_at.0))
        .bind(column(&standings, |standing| {
            standing.wake_at.map(|at| at.0)
        }))
        .bind(column(&standings, |standing| {
            standing.started_at.map(|at| at.0)
        }))
        .bind(column(&standings, |standing| {
            standing.finished_at.map(|at| at.0)
        }))
        .bind(column(&standings, |standing| {
            standing.cancel_requested_at.map(|at| at.0)
        }))
        .bind(column(&standings, |standing| {
            standing.dispatch.map(|dispatch| dispatch.clerk.0)
        }))
        .bind(column(&standings, |standing| {
            standing.dispatch.map(|dispatch| dispatch.number)
        }))
        .bind(column(&standings, |standing| {
            standing.worker.as_deref().map(storable)
        }))
        .bind(column(&standings, |standing| standing.held))
        .bind(column(&standings, |standing| standing.unlisted))
}

fn endings<'q>(
    query: Applying<'q>,
    changes: &[&Change],
    endings: &'q [Ending<'q>],
) -> Applying<'q> {
    let large: Vec<(Uuid, &[u8])> = changes
        .iter()
        .zip(endings)
        .filter_map(|(change, ending)| Some((change.id.uuid(), ending.output.and_then(beside)?)))
        .collect();
    query
        .bind(column(endings, |ending| ending.media_type.as_deref()))
        .bind(column(endings, |ending| ending.size))
        .bind(column(endings, |ending| ending.output.and_then(inline)))
        .bind(column(endings, |ending| ending.failure.as_deref()))
        .bind(column(&large, |(id, _)| *id))
        .bind(column(&large, |(_, bytes)| *bytes))
}

fn history<'q>(query: Applying<'q>, changes: &[&'q Change]) -> Result<Applying<'q>, Trouble> {
    let ended: Vec<(Uuid, &'q AttemptEnd)> = changes
        .iter()
        .filter_map(|change| Some((change.id.uuid(), change.ended.as_ref()?)))
        .collect();
    let failures: Vec<Option<String>> = ended
        .iter()
        .map(|(_, end)| end.failure.as_ref().map(cells::failure).transpose())
        .collect::<Result<_, _>>()?;
    let query = query
        .bind(column(&ended, |(id, _)| *id))
        .bind(column(&ended, |(_, end)| int(end.attempt)))
        .bind(column(&ended, |(_, end)| {
            end.worker.as_deref().map(storable)
        }))
        .bind(column(&ended, |(_, end)| end.started_at.map(|at| at.0)))
        .bind(column(&ended, |(_, end)| end.finished_at.0))
        .bind(failures);
    Ok(query)
}

fn stops<'q>(query: Applying<'q>, changes: &[&Change]) -> Applying<'q> {
    let stops: Vec<(&&Change, u32)> = changes
        .iter()
        .filter_map(|change| Some((change, change.stop?)))
        .collect();
    let asked = |change: &Change| change.standing.cancel_requested_at.map_or(0, |at| at.0);
    query
        .bind(column(&stops, |(change, _)| change.id.uuid()))
        .bind(column(&stops, |(_, attempt)| int(*attempt)))
        .bind(column(&stops, |(change, _)| asked(change)))
}
