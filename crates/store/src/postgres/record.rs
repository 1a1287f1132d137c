//! What became of jobs, on a connection of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use clerkwork_core::{Change, Event, Job, JobId, Moment, QueueName, UnixMs, transition};
use uuid::Uuid;

use super::accept::TRIES;
use super::session::{Session, on_day};
use super::trouble::Trouble;
use super::write::{gone, id_days};
use super::{apply, read};
use crate::cells::{beside, inline, is_unfit_success};
use crate::rows::{JobRow, RecordedRow, int, job_columns, size};
use crate::succeed::Round;
use crate::{Error, Recorded, Recorder, Succeeded, Success, deadline};

/// Does the work again, as a whole, when others were in the way.
macro_rules! again {
    ($session:ident, $work:expr) => {
        async {
            let mut tries = 0;
            loop {
                tries += 1;
                match $work.await {
                    Err(Trouble::Busy(_)) if tries < TRIES => $session.rollback().await?,
                    done => break Ok(done?),
                }
            }
        }
    };
}

/// The recorder; without a session once something went wrong.
pub(super) struct PostgresRecorder(pub(super) Option<Session>);

impl PostgresRecorder {
    fn take(&mut self) -> Result<Session, Error> {
        self.0.take().ok_or_else(gone)
    }
}

#[async_trait]
impl Recorder for PostgresRecorder {
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error> {
        let mut session = self.take()?;
        let answers = deadline::write(succeed_all(&mut session, successes, now)).await?;
        self.0 = Some(session);
        Ok(answers)
    }

    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let mut session = self.take()?;
        let jobs = deadline::read(async { Ok(read::load(&mut session, ids).await?) }).await?;
        self.0 = Some(session);
        Ok(jobs)
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error> {
        let mut session = self.take()?;
        let applied = deadline::write(again!(session, apply::apply(&mut session, changes))).await?;
        self.0 = Some(session);
        Ok(applied)
    }

    async fn purge(
        &mut self,
        queue: &QueueName,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        let mut session = self.take()?;
        let purged =
            deadline::write(again!(session, purge(&mut session, queue, now, limit))).await?;
        self.0 = Some(session);
        Ok(purged)
    }

    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error> {
        let mut session = self.take()?;
        let gone = deadline::write(again!(session, delete(&mut session, tenant, ids, now))).await?;
        self.0 = Some(session);
        Ok(gone)
    }

    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error> {
        let mut session = self.take()?;
        let text = "delete from cancels using unnest($1::uuid[], $2::int[]) as gone (id, attempt)
                    where cancels.job_id = gone.id and cancels.attempt = gone.attempt";
        let forget = async |session: &mut Session| {
            let query = sqlx::query(text)
                .bind(cancels.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
                .bind(
                    cancels
                        .iter()
                        .map(|(_, attempt)| int(*attempt))
                        .collect::<Vec<_>>(),
                );
            session.execute(query).await
        };
        deadline::write(again!(session, forget(&mut session))).await?;
        self.0 = Some(session);
        Ok(())
    }
}

async fn succeed_all(
    session: &mut Session,
    successes: &[Success],
    now: UnixMs,
) -> Result<Vec<Succeeded>, Error> {
    let mut round = Round::new(successes, is_unfit_success);
    let mut tries = 0;
    while !round.open().is_empty() {
        tries += 1;
        let trouble = match succeed(session, round.open(), now).await {
            Ok(jobs) => {
                round.settle(jobs);
                tries = 0;
                continue;
            }
            Err(trouble) => trouble,
        };
        session.rollback().await?;
        match trouble {
            _ if tries == TRIES => return Err(trouble.error()),
            Trouble::Busy(_) => {}
            Trouble::Data(text) => {
                tracing::warn!(error = text, "outputs that cannot be stored are taken out");
                for unfit in sift(session, round.open(), now).await? {
                    round.refuse(unfit);
                }
            }
            Trouble::NoDay | Trouble::Over(_) => return Err(trouble.error()),
        }
    }
    let doubtful = round.doubtful();
    if !doubtful.is_empty() {
        let known: HashSet<JobId> = read::known(session, &doubtful).await?;
        round.late(&known);
    }
    Ok(round.answers())
}

/// Stores successes of different jobs; what was done. Within a day it is one statement
/// that commits itself.
async fn succeed(
    session: &mut Session,
    successes: &[&Success],
    now: UnixMs,
) -> Result<HashMap<JobId, Recorded>, Trouble> {
    let days = by_day(successes);
    let several = days.len() > 1;
    if several {
        session.begin().await?;
    }
    let mut recorded = HashMap::with_capacity(successes.len());
    for (day, successes) in days {
        if several && !super::days::exists(session, day).await? {
            continue;
        }
        match succeed_day(session, day, &successes, now).await {
            Ok(done) => recorded.extend(done),
            Err(Trouble::NoDay) if !several => {}
            Err(trouble) => return Err(trouble),
        }
    }
    if several {
        session.commit().await?;
    }
    Ok(recorded)
}

fn by_day<'a>(successes: &[&'a Success]) -> BTreeMap<i32, Vec<&'a Success>> {
    let mut days: BTreeMap<i32, Vec<&Success>> = BTreeMap::new();
    for success in successes {
        days.entry(success.job.day()).or_default().push(success);
    }
    days
}

/// When a success ends its job: now, but never before what is on record.
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
        returning j.id, j.queue, j.rev
    ), kept as (
        insert into bytes_day (job_id, part, bytes)
        select id, 1, bytes from unnest($9::uuid[], $10::bytea[]) as large (id, bytes)
        where exists (select from done where done.id = large.id)
        on conflict do nothing
    )
    select * from done"
);

async fn succeed_day(
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
        .bind(
            successes
                .iter()
                .map(|one| one.job.uuid())
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| int(one.attempt))
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| one.worker.as_deref())
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| one.started_at.map(|at| at.0))
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| one.media_type.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| size(&one.output))
                .collect::<Vec<_>>(),
        )
        .bind(
            successes
                .iter()
                .map(|one| inline(&one.output))
                .collect::<Vec<_>>(),
        )
        .bind(large.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(large.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>());
    let rows = session.rows(query).await?;
    Ok(rows
        .into_iter()
        .map(RecordedRow::recorded)
        .collect::<Result<_, _>>()?)
}

/// The successes whose data the database refuses, found by halves, in a transaction that leaves
/// nothing.
async fn sift<'a>(
    session: &mut Session,
    successes: &[&'a Success],
    now: UnixMs,
) -> Result<Vec<&'a Success>, Trouble> {
    session.begin().await?;
    let mut unfit = Vec::new();
    for (day, successes) in by_day(successes) {
        let mut parts = vec![successes];
        while let Some(part) = parts.pop() {
            session.run("savepoint sift").await?;
            let tried = succeed_day(session, day, &part, now).await;
            session.run("rollback to savepoint sift").await?;
            match (tried, part.as_slice()) {
                (Ok(_) | Err(Trouble::NoDay), _) => {}
                (Err(Trouble::Data(_)), [one]) => unfit.push(*one),
                (Err(Trouble::Data(_)), many) => {
                    let (left, right) = many.split_at(many.len() / 2);
                    parts.extend([left.to_vec(), right.to_vec()]);
                }
                (Err(trouble), _) => return Err(trouble),
            }
        }
    }
    session.rollback().await?;
    Ok(unfit)
}

/// Jobs of a queue that wait: undispatched ones first, then those that are not due.
const WAITING: &str = concat!(
    "(select ",
    job_columns!("jobs"),
    " from jobs where queue = $1 and waiting_since is not null
      order by waiting_since, id limit $2)
     union all
     (select ",
    job_columns!("jobs"),
    " from jobs where wake_at is not null and state = 0 and queue = $1 limit $2)
     limit $2"
);

async fn purge(
    session: &mut Session,
    queue: &QueueName,
    now: UnixMs,
    limit: u32,
) -> Result<Vec<(JobId, u32)>, Trouble> {
    let query = sqlx::query_as(WAITING)
        .bind(queue.as_str())
        .bind(i64::from(limit));
    let rows: Vec<JobRow> = session.rows(query).await?;
    let jobs: Vec<Job> = rows
        .into_iter()
        .map(JobRow::job)
        .collect::<Result<_, _>>()?;
    let moment = Moment {
        now,
        lease: std::time::Duration::ZERO,
        chance: 0.0,
    };
    let changes: Vec<Change> = jobs
        .iter()
        .filter_map(|job| transition(job, Event::CancelAsked, &moment))
        .collect();
    let applied = apply::apply(session, &changes).await?;
    let done = changes.iter().zip(applied).filter(|(_, done)| *done);
    Ok(done
        .map(|(change, _)| (change.id, change.standing.rev))
        .collect())
}

const DELETE: &str = "
    update jobs_day as j set deleted_at = $1 from unnest($2::uuid[]) as gone (id)
    where j.id = gone.id and j.tenant = $3 and j.state >= 10 and j.deleted_at is null
    returning j.id";

async fn delete(
    session: &mut Session,
    tenant: &str,
    ids: &[JobId],
    now: UnixMs,
) -> Result<Vec<bool>, Trouble> {
    session.begin().await?;
    let mut gone: HashSet<Uuid> = HashSet::new();
    for (day, ids) in id_days(ids) {
        if super::days::exists(session, day).await? {
            let query = sqlx::query_scalar(on_day(DELETE, day))
                .bind(now.0)
                .bind(ids)
                .bind(tenant);
            let ids: Vec<Uuid> = session.scalars(query).await?;
            gone.extend(ids);
        }
    }
    session.commit().await?;
    Ok(ids.iter().map(|id| gone.remove(&id.uuid())).collect())
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
