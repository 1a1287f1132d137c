//! One incarnation of a clerk, on its own connection.

use std::collections::BTreeMap;

use async_trait::async_trait;
use clerkwork_core::{ClerkId, Dispatch, JobId, UnixMs};
use clerkwork_faults::{Defect, has};
use uuid::Uuid;

use super::accept::{self, TRIES, unfenced};
use super::later::by_day;
use super::pooled::Pooled;
use super::session::{Session, on_day};
use super::trouble::Trouble;
use crate::cells::first_bytes;
use crate::rows::{TakenRow, job_columns, readable};
use crate::{Accepted, Error, HandOut, NewJob, Taken, Watermark, Writer, deadline};

/// The most bytes of inputs that are taken from the backlog at once.
const MOST_TAKEN: u64 = 16 << 20;

/// The writer; without a session once something went wrong.
pub(super) struct PostgresWriter {
    session: Option<Session>,
    clerk: ClerkId,
    /// Only with a planted defect.
    pooled: Option<Pooled>,
}

impl PostgresWriter {
    pub(super) async fn register(
        mut session: Session,
        name: &str,
        pooled: Option<Pooled>,
    ) -> Result<Self, Error> {
        let text = "insert into clerks (name, seen_at, watermark, watermark_at)
                    select $1, now, 0, now
                    from (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now) _
                    returning id";
        let clerk: Vec<i64> = session.scalars(sqlx::query_scalar(text).bind(name)).await?;
        let clerk = clerk.first().copied().unwrap_or_default();
        Ok(Self {
            session: Some(session),
            clerk: ClerkId(clerk),
            pooled,
        })
    }

    fn take(&mut self) -> Result<Session, Error> {
        self.session.take().ok_or_else(gone)
    }
}

/// What there is to say once a connection was given up.
pub(super) fn gone() -> Error {
    Error::Unavailable("this connection was given up: open another one".to_owned())
}

#[async_trait]
impl Writer for PostgresWriter {
    fn clerk(&self) -> ClerkId {
        self.clerk
    }

    async fn accept(&mut self, jobs: &[NewJob]) -> Result<Vec<Accepted>, Error> {
        let mut session = self.take()?;
        let shared = match &self.pooled {
            None => None,
            Some(pooled) => Some(pooled.change(&mut session).await?),
        };
        let answers = deadline::write(accept::accept(&mut session, self.clerk, jobs)).await?;
        if let Some(shared) = shared {
            shared.change_back(&mut session);
        }
        self.session = Some(session);
        Ok(answers)
    }

    async fn hand_out(&mut self, hand_out: &HandOut) -> Result<Vec<Taken>, Error> {
        let mut session = self.take()?;
        let taken = deadline::write(take_all(&mut session, self.clerk, hand_out)).await?;
        self.session = Some(session);
        Ok(taken)
    }

    async fn heartbeat(&mut self, watermark: Watermark, now: UnixMs) -> Result<UnixMs, Error> {
        let mut session = self.take()?;
        let text = if has(Defect::NoFence) {
            CARELESS_BEAT
        } else {
            BEAT
        };
        let query = sqlx::query_scalar(text)
            .bind(self.clerk.0)
            .bind(watermark.number)
            .bind(watermark.at.0)
            .bind(now.0);
        let time: Vec<i64> = deadline::write(async { Ok(session.scalars(query).await?) }).await?;
        let time = time.first().copied().ok_or(Error::Fenced)?;
        self.session = Some(session);
        Ok(UnixMs(time))
    }

    async fn close(&mut self) -> Result<(), Error> {
        let mut session = self.take()?;
        let text = "update clerks
                    set closed_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
                    where id = $1 and not fenced and closed_at is null";
        let query = sqlx::query(text).bind(self.clerk.0);
        deadline::write(async { Ok(session.execute(query).await?) }).await?;
        session.close().await;
        Ok(())
    }
}

const BEAT: &str = "
    update clerks set seen_at = $4, watermark = $2, watermark_at = $3
    where id = $1 and not fenced and closed_at is null
    returning (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// As a planted defect has it: the clerk does not see that it was taken over.
const CARELESS_BEAT: &str = "
    update clerks set seen_at = $4, watermark = $2, watermark_at = $3 where id = $1
    returning (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// Takes jobs from the backlog; tries again when others were in the way.
async fn take_all(
    session: &mut Session,
    clerk: ClerkId,
    order: &HandOut,
) -> Result<Vec<Taken>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match take(session, clerk, order).await {
            Err(Trouble::Busy(_)) if tries < TRIES => session.rollback().await?,
            taken => return Ok(taken?),
        }
    }
}

const PICK: &str = "
    select id, input_size from jobs where queue = $1 and waiting_since is not null
        and not exists (select from queues where name = $1 and paused)
    order by waiting_since, id limit $2 for no key update skip locked";

/// As `transition` has it for a dispatch; the conformance suite holds them equal.
const HAND_OUT: &str = concat!(
    "update jobs_day as j set state = 2, rev = j.rev + 1, attempt = j.attempt + 1, worker = null,
         clerk = $1, wake_at = $2, number = picked.number
     from unnest($3::uuid[], $4::bigint[]) as picked (id, number)
     where j.id = picked.id
     returning ",
    job_columns!("j"),
    ", coalesce(j.input,
           (select bytes from bytes_day where job_id = j.id and part = 0), ''::bytea) as input"
);

async fn take(
    session: &mut Session,
    clerk: ClerkId,
    order: &HandOut,
) -> Result<Vec<Taken>, Trouble> {
    session.begin().await?;
    unfenced(session, clerk).await?;
    let query = sqlx::query_as(PICK)
        .bind(order.queue.as_str())
        .bind(i64::from(order.limit));
    let picked: Vec<(Uuid, i64)> = session.rows(query).await?;
    let picked = first_bytes(picked, MOST_TAKEN);
    let numbered: Vec<(Uuid, i64)> = picked.into_iter().zip(order.first_number..).collect();
    let mut taken: Vec<Taken> = Vec::with_capacity(numbered.len());
    for (day, numbered) in by_day(numbered, |(id, _)| *id) {
        let (ids, numbers): (Vec<Uuid>, Vec<i64>) = numbered.into_iter().unzip();
        let query = sqlx::query_as(on_day(HAND_OUT, day))
            .bind(clerk.0)
            .bind(order.wake_at.0)
            .bind(ids)
            .bind(numbers);
        let rows: Vec<TakenRow> = session.rows(query).await?;
        taken.extend(rows.into_iter().filter_map(|row| readable(row.taken())));
    }
    session.commit().await?;
    taken.sort_by_key(|taken| taken.job.standing.dispatch.map(number));
    Ok(taken)
}

fn number(dispatch: Dispatch) -> i64 {
    dispatch.number
}

/// The days of some ids.
pub(super) fn id_days(ids: &[JobId]) -> BTreeMap<i32, Vec<Uuid>> {
    by_day(ids.iter().map(|id| id.uuid()).collect(), |id| *id)
}
