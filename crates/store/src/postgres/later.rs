//! What happens later: due jobs, and dispatches that need a look.

use std::collections::BTreeMap;
use std::time::Duration;

use clerkwork_core::{Job, JobId, QueueName, UnixMs};
use uuid::Uuid;

use super::days;
use super::session::{Session, on_day};
use super::trouble::Trouble;
use crate::rows::{JobRow, job_columns, jobs};

const DUE: &str = "
    select id from jobs where wake_at is not null and wake_at <= $1
    order by wake_at, id limit $2 for no key update skip locked";

const CLAIM: &str = concat!(
    "update jobs_day as j set wake_at = $1 from unnest($2::uuid[]) as due (id)
     where j.id = due.id returning ",
    job_columns!("j")
);

pub(super) async fn claim_due(
    session: &mut Session,
    now: UnixMs,
    until: UnixMs,
    limit: u32,
) -> Result<Vec<Job>, Trouble> {
    session.begin().await?;
    let query = sqlx::query_scalar(DUE).bind(now.0).bind(i64::from(limit));
    let due: Vec<Uuid> = session.scalars(query).await?;
    let mut woken = Vec::with_capacity(due.len());
    for (day, ids) in by_day(due.clone(), |id| *id) {
        let query = sqlx::query_as(on_day(CLAIM, day)).bind(until.0).bind(ids);
        let rows: Vec<JobRow> = session.rows(query).await?;
        woken.extend(jobs(rows));
    }
    session.commit().await?;
    Ok(crate::cells::in_order(woken, &due))
}

const WATCH: &str = "
    update jobs_day set wake_at = $3
    where id >= $1 and id < $2 and state = 2 and wake_at is null";

pub(super) async fn watch(
    session: &mut Session,
    from: JobId,
    to: JobId,
    wake_at: UnixMs,
) -> Result<u64, Trouble> {
    let mut watched = 0;
    for day in days::all(session).await? {
        if day < from.day() || day > to.day() {
            continue;
        }
        let query = sqlx::query(on_day(WATCH, day))
            .bind(from.uuid())
            .bind(to.uuid())
            .bind(wake_at.0);
        watched += session.execute(query).await?.rows_affected();
    }
    Ok(watched)
}

/// Whatever is out and has not started wakes within this, at the latest.
pub(super) const SOON: Duration = Duration::from_secs(4 * 60 * 60);

/// One from the backlog has a `wake_at`, which is soon: what is delayed for longer is not looked at.
const DISPATCHED: &str = concat!(
    "with dispatched as materialized (
        select id from jobs where wake_at < (extract(epoch from now()) * 1000)::bigint + $5
            and queue = $1 and state = 2
        union
        select id from jobs where id >= $2 and queue = $1 and state = 2
     ), next as materialized (select id from dispatched where id > $3 order by id limit $4)
     select ",
    job_columns!("j"),
    " from next join jobs as j on j.id = next.id order by j.id"
);

pub(super) async fn dispatched(
    session: &mut Session,
    queue: &QueueName,
    recent: JobId,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Trouble> {
    let query = sqlx::query_as(DISPATCHED)
        .bind(queue.as_str())
        .bind(recent.uuid())
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .bind(i64::from(limit))
        .bind(UnixMs(0).after(SOON).0);
    let rows: Vec<JobRow> = session.rows(query).await?;
    Ok(jobs(rows))
}

/// Things by the day of their job, in the order of their ids, in which rows are locked.
pub(super) fn by_day<T>(mut things: Vec<T>, id: fn(&T) -> Uuid) -> BTreeMap<i32, Vec<T>> {
    things.sort_unstable_by_key(id);
    let mut days: BTreeMap<i32, Vec<T>> = BTreeMap::new();
    for thing in things {
        let day = crate::rows::day(id(&thing));
        days.entry(day).or_default().push(thing);
    }
    days
}
