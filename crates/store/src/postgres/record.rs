//! The recorder: stores what becomes of jobs, on a connection of its own.

use std::collections::HashSet;

use async_trait::async_trait;
use clerkwork_core::{Change, Event, Job, JobId, Moment, QueueName, UnixMs, transition};
use uuid::Uuid;

use super::accept::TRIES;
use super::open::Options;
use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use super::write::{gone, id_days};
use super::{apply, read, success};
use crate::cells::is_unfit_success;
use crate::rows::{JobRow, int, job_columns, jobs};
use crate::succeed::Round;
use crate::{Error, Recorder, Succeeded, Success, deadline};

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
pub(super) struct PostgresRecorder {
    options: Options,
    session: Option<Session>,
}

impl PostgresRecorder {
    pub(super) async fn open(options: Options) -> Result<Self, Error> {
        let session = Some(options.session().await?);
        Ok(Self { options, session })
    }

    /// The session, or a new one where it ended in a pause.
    async fn take(&mut self) -> Result<Session, Error> {
        let mut session = self.session.take().ok_or_else(gone)?;
        if session.is_there().await {
            return Ok(session);
        }
        tracing::info!("a connection to PostgreSQL had ended in a pause; another one was opened");
        self.options.session().await
    }

    /// Keeps the session where it can be used again: after work that was done, and after data that was refused.
    async fn keep<T>(&mut self, mut session: Session, done: Result<T, Error>) -> Result<T, Error> {
        let whole = match &done {
            Ok(_) => true,
            Err(Error::Refused(_)) => {
                let taken_back = async { Ok(session.rollback().await?) };
                deadline::write(taken_back).await.is_ok()
            }
            Err(_) => false,
        };
        self.session = whole.then_some(session);
        done
    }
}

#[async_trait]
impl Recorder for PostgresRecorder {
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error> {
        let mut session = self.take().await?;
        let mut round = Round::new(successes, is_unfit_success);
        let done = deadline::write(success::succeed(&mut session, &mut round, now)).await;
        match self.keep(session, done).await {
            Ok(()) => Ok(round.answers()),
            Err(error) => {
                let told = round.broken_off(error)?;
                self.session = None;
                Ok(told)
            }
        }
    }

    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let mut session = self.take().await?;
        let jobs = deadline::read(async { Ok(read::load(&mut session, ids).await?) }).await?;
        self.session = Some(session);
        Ok(jobs)
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error> {
        let mut session = self.take().await?;
        let applied = deadline::write(again!(session, apply::apply(&mut session, changes))).await;
        self.keep(session, applied).await
    }

    async fn purge(
        &mut self,
        queue: &QueueName,
        before: JobId,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        let mut session = self.take().await?;
        let purged = deadline::write(again!(
            session,
            purge(&mut session, queue, before, now, limit)
        ))
        .await?;
        self.session = Some(session);
        Ok(purged)
    }

    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error> {
        let mut session = self.take().await?;
        let gone = deadline::write(again!(session, delete(&mut session, tenant, ids, now))).await?;
        self.session = Some(session);
        Ok(gone)
    }

    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error> {
        let mut session = self.take().await?;
        let text = "delete from cancels using unnest($1::uuid[], $2::int[]) as gone (id, attempt)
                    where cancels.job_id = gone.id and cancels.attempt = gone.attempt";
        let forget = async |session: &mut Session| {
            let query = sqlx::query(text)
                .bind(column(cancels, |(id, _)| id.uuid()))
                .bind(column(cancels, |(_, attempt)| int(*attempt)));
            session.execute(query).await
        };
        deadline::write(again!(session, forget(&mut session))).await?;
        self.session = Some(session);
        Ok(())
    }
}

/// Jobs of a queue that wait: undispatched ones first, then those that are not due.
const WAITING: &str = concat!(
    "(select ",
    job_columns!("jobs"),
    " from jobs where queue = $1 and waiting_since is not null and id < $3
      order by waiting_since, id limit $2)
     union all
     (select ",
    job_columns!("jobs"),
    " from jobs where wake_at is not null and state = 0 and queue = $1 and id < $3
      limit $2)
     limit $2"
);

async fn purge(
    session: &mut Session,
    queue: &QueueName,
    before: JobId,
    now: UnixMs,
    limit: u32,
) -> Result<Vec<(JobId, u32)>, Trouble> {
    let query = sqlx::query_as(WAITING)
        .bind(queue.as_str())
        .bind(i64::from(limit))
        .bind(before.uuid());
    let rows: Vec<JobRow> = session.rows(query).await?;
    let jobs = jobs(rows);
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
