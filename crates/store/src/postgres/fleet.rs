//! Clerks, workers, secrets and cancels.

use std::time::Duration;

use clerkwork_core::{
    Change, ClerkId, Event, Job, JobId, Moment, QueueName, Secret, UnixMs, transition,
};
use clerkwork_faults::{Defect, has};
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::apply;
use super::later::SOON;
use super::session::{Session, column};
use super::trouble::Trouble;
use crate::cells::{about, in_hand, latest, storable};
use crate::rows::{CancelCells, ClerkCells, JobRow, WorkerCells, job_columns, jobs};
use crate::secrets::SecretCells;
use crate::{Cancel, ClerkRow, WorkerRow};

pub(super) async fn clerks(session: &mut Session) -> Result<Vec<ClerkRow>, Trouble> {
    let text = "select id, name, seen_at, watermark, watermark_at, fenced from clerks
                where closed_at is null order by id";
    let rows: Vec<ClerkCells> = session.rows(sqlx::query_as(text)).await?;
    Ok(rows.into_iter().map(ClerkRow::from).collect())
}

#[derive(Clone, Copy, FromRow)]
struct Fenced {
    id: i64,
    watermark: i64,
    watermark_at: i64,
}

/// Locking the row waits for what that clerk has in flight, and shows its last heartbeat.
const FENCE: &str = "
    update clerks set fenced = $3
    where id = (select id from clerks where id = $1 for update)
        and closed_at is null and seen_at <= $2
    returning id, watermark, watermark_at";

/// Fences a silent clerk and commits that; then doubts, part by part, what it dispatched and nobody
/// was seen with. Whoever is interrupted leaves a fenced row that the next one goes on with.
pub(super) async fn take_over(
    session: &mut Session,
    clerk: ClerkId,
    silent_since: UnixMs,
    now: UnixMs,
) -> Result<u64, Trouble> {
    let fence = !has(Defect::NoFence);
    let query = sqlx::query_as(FENCE)
        .bind(clerk.0)
        .bind(silent_since.0)
        .bind(fence);
    let Some(fenced) = session.row::<Fenced>(query).await? else {
        return Ok(0);
    };
    let moment = Moment {
        now,
        lease: Duration::ZERO,
        chance: 0.0,
    };
    let mut after = None;
    let mut doubted = 0;
    loop {
        let jobs = unseen(session, fenced, after, now).await?;
        let Some(last) = jobs.last() else { break };
        after = Some(last.id);
        let changes: Vec<Change> = jobs
            .iter()
            .filter_map(|job| {
                let attempt = job.standing.attempt;
                transition(job, Event::Doubted { attempt }, &moment)
            })
            .collect();
        let applied = apply::apply(session, &changes).await?;
        doubted += applied.iter().map(|done| u64::from(*done)).sum::<u64>();
    }
    let query = sqlx::query("update clerks set closed_at = $2 where id = $1 and closed_at is null")
        .bind(clerk.0)
        .bind(now.0);
    session.execute(query).await?;
    Ok(doubted)
}

/// How much older than its number's time a job's id may be.
const SKEW: Duration = Duration::from_secs(60);

/// Dispatches of a clerk from its watermark on that no worker was seen with. A direct one has an id
/// of about its number's time or later; one from the backlog has a `wake_at`, which is soon: what is
/// delayed for longer is not looked at.
const UNSEEN: &str = concat!(
    "with mine as materialized (
        select id from jobs where id >= $3 and clerk = $1 and number >= $2 and state = 2
            and worker is null
        union
        select id from jobs where wake_at < $5 and clerk = $1 and number >= $2
            and state = 2 and worker is null
     ), next as materialized (select id from mine where id > $4 order by id limit 1000)
     select ",
    job_columns!("j"),
    " from next join jobs as j on j.id = next.id order by j.id"
);

async fn unseen(
    session: &mut Session,
    fenced: Fenced,
    after: Option<JobId>,
    now: UnixMs,
) -> Result<Vec<Job>, Trouble> {
    let query = sqlx::query_as(UNSEEN)
        .bind(fenced.id)
        .bind(fenced.watermark)
        .bind(JobId::first_of(UnixMs(fenced.watermark_at).before(SKEW)).uuid())
        .bind(after.map_or(Uuid::nil(), JobId::uuid))
        .bind(now.after(SOON).0);
    let rows: Vec<JobRow> = session.rows(query).await?;
    Ok(jobs(rows))
}

pub(super) async fn secrets(session: &mut Session) -> Result<Vec<Secret>, Trouble> {
    let first = Secret::random(1);
    let text = "insert into secrets (id, bytes)
                select $1, $2 where not exists (select from secrets) on conflict do nothing";
    let query = sqlx::query(text)
        .bind(i16::from(first.id))
        .bind(first.bytes.as_slice());
    session.execute(query).await?;
    let text = "select id, bytes from secrets order by id";
    let rows: Vec<SecretCells> = session.rows(sqlx::query_as(text)).await?;
    Ok(rows
        .into_iter()
        .map(SecretCells::secret)
        .collect::<Result<_, _>>()?)
}

pub(super) async fn keep_workers(
    session: &mut Session,
    workers: &[WorkerRow],
) -> Result<(), Trouble> {
    let workers = latest(workers);
    let text = "insert into workers (id, seq, seen_at, in_hand, about)
                select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
                on conflict (id) do update set seq = excluded.seq, seen_at = excluded.seen_at,
                    in_hand = excluded.in_hand, about = excluded.about
                where workers.seq < excluded.seq";
    let hands: Vec<String> = workers
        .iter()
        .map(|worker| in_hand(worker))
        .collect::<Result<_, _>>()?;
    let query = sqlx::query(text)
        .bind(column(&workers, |worker| storable(&worker.id)))
        .bind(column(&workers, |worker| worker.seq))
        .bind(column(&workers, |worker| worker.seen_at.0))
        .bind(hands)
        .bind(column(&workers, |worker| about(worker)));
    session.execute(query).await?;
    Ok(())
}

pub(super) async fn workers(
    session: &mut Session,
    ids: Option<&[String]>,
    since: UnixMs,
) -> Result<Vec<WorkerRow>, Trouble> {
    let text = "select id, seq, seen_at, in_hand, about from workers
                where seen_at >= $1 and ($2::text[] is null or id = any($2)) order by id";
    // As they were kept.
    let ids: Option<Vec<_>> = ids.map(|ids| ids.iter().map(|id| storable(id)).collect());
    let query = sqlx::query_as(text).bind(since.0).bind(ids);
    let rows: Vec<WorkerCells> = session.rows(query).await?;
    Ok(rows
        .into_iter()
        .map(WorkerCells::worker)
        .collect::<Result<_, _>>()?)
}

pub(super) async fn cancels(
    session: &mut Session,
    after: i64,
    limit: u32,
) -> Result<Vec<Cancel>, Trouble> {
    let text = "select seq, job_id, attempt, queue from cancels
                where seq > $1 order by seq limit $2";
    let query = sqlx::query_as(text).bind(after).bind(i64::from(limit));
    let rows: Vec<CancelCells> = session.rows(query).await?;
    Ok(rows
        .into_iter()
        .map(CancelCells::cancel)
        .collect::<Result<_, _>>()?)
}

pub(super) async fn queue_cancels(
    session: &mut Session,
    queue: &QueueName,
    after: i64,
    limit: u32,
) -> Result<Vec<Cancel>, Trouble> {
    let text = "select seq, job_id, attempt, queue from cancels
                where queue = $1 and seq > $2 order by seq limit $3";
    let query = sqlx::query_as(text)
        .bind(queue.as_str())
        .bind(after)
        .bind(i64::from(limit));
    let rows: Vec<CancelCells> = session.rows(query).await?;
    Ok(rows
        .into_iter()
        .map(CancelCells::cancel)
        .collect::<Result<_, _>>()?)
}
