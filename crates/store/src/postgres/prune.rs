//! Days: made ahead, and given back whole.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clerkwork_core::UnixMs;
use sqlx::SqlSafeStr;

use super::days;
use super::keys::of_day;
use super::session::{Session, on_day};
use super::trouble::Trouble;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A day with more survivors than this is left for another time.
const MOST_SURVIVORS: u64 = 10_000;
/// A day that was left for its survivors is looked at again after this: to find them takes a scan.
const LEFT_FOR: Duration = Duration::from_secs(60 * 60);

/// We wait no longer than this for what others have, and they for what we are about to take.
const PATIENCE: &str = "set local lock_timeout = '500ms'";

/// Days that were left because too much of them survives, and until when each is left.
#[derive(Debug, Default)]
pub(super) struct LeftDays(Mutex<HashMap<i32, UnixMs>>);

impl LeftDays {
    /// Whether a day need not be looked at yet.
    fn has(&self, day: i32, now: UnixMs) -> bool {
        let days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        days.get(&day)
            .is_some_and(|until| (now..=now.after(LEFT_FOR)).contains(until))
    }

    fn leave(&self, day: i32, now: UnixMs) {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        days.retain(|_, until| *until > now);
        days.insert(day, now.after(LEFT_FOR));
    }
}

/// What became of a day.
enum Given {
    /// So many of its jobs are gone.
    Jobs(u64),
    /// Somebody uses it, or gives it back.
    NotNow,
    /// Too much of it survives.
    Left,
}

/// Makes the days ahead, forgets what is old, and gives back the storage of old days. A day that
/// somebody uses is left for the next time.
pub(super) async fn prune(
    session: &mut Session,
    left: &LeftDays,
    now: UnixMs,
    retention: Duration,
) -> Result<u64, Trouble> {
    days::make_around(session, now).await?;
    forget(session, now).await?;
    let until = now.before(retention);
    let mut gone = 0;
    for day in days::all(session).await? {
        if days::end(day) >= until {
            break;
        }
        if left.has(day, now) {
            continue;
        }
        match give_back(session, day, until).await {
            Ok(Given::Jobs(jobs)) => gone += jobs,
            Ok(Given::NotNow) => {}
            Ok(Given::Left) => left.leave(day, now),
            Err(Trouble::Busy(_)) => session.rollback().await?,
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(gone)
}

const EMPTY_KEYS: [&str; 3] = ["truncate keys_0", "truncate keys_1", "truncate keys_2"];
const OLD_KEYS: [&str; 3] = [
    "select exists (select from keys_0)",
    "select exists (select from keys_1)",
    "select exists (select from keys_2)",
];

/// Forgets old cancels, workers and clerks; and, in the middle of the day, the keys of the day
/// before yesterday, whose table is tomorrow's.
async fn forget(session: &mut Session, now: UnixMs) -> Result<(), Trouble> {
    for text in [
        // What is not answered yet may still lie on a queue.
        "delete from cancels where asked_at < $1
            and not exists (select from jobs where jobs.id = cancels.job_id)",
        "delete from workers where seen_at < $1",
        "delete from clerks where closed_at < $1",
        "delete from webhook_secrets where retired_at < $1",
    ] {
        session
            .execute(sqlx::query(text).bind(now.before(DAY).0))
            .await?;
    }
    let quarter = DAY / 4;
    let midday = now.before(quarter).day() == now.day() && now.after(quarter).day() == now.day();
    let tomorrow = now.day() + 1;
    let old: Vec<bool> = session
        .scalars(sqlx::query_scalar(of_day(&OLD_KEYS, tomorrow)))
        .await?;
    if midday && old == [true] {
        match empty_keys(session, tomorrow).await {
            Err(Trouble::Busy(_)) => session.rollback().await?,
            done => done?,
        }
    }
    Ok(())
}

async fn empty_keys(session: &mut Session, day: i32) -> Result<(), Trouble> {
    session.begin().await?;
    session.run(PATIENCE).await?;
    session.run(of_day(&EMPTY_KEYS, day)).await?;
    session.commit().await
}

/// What is not done, or not for long, or whose webhook is pending.
macro_rules! survives {
    () => {
        "(finished_at is null or finished_at > $1
          or (webhook is not null and id in (select job_id from webhooks_day where state = 0)))"
    };
}

/// One clerk gives back at a time.
const TURN: &str = "
    select pg_try_advisory_xact_lock(hashtext('clerkwork prune ' || current_schema()))";

/// No more of them are looked for than decide that a day is left.
const SURVIVORS: &str = concat!(
    "create temporary table survivors on commit drop as select id from jobs_day where ",
    survives!(),
    " limit $2"
);

const ANY_SURVIVOR: &str = concat!(
    "select exists (select from jobs_day where ",
    survives!(),
    ")"
);

/// What survives since: nothing but a webhook that is to be sent again brings a job back.
const LATE_SURVIVORS: &str = "
    insert into survivors select job_id from webhooks_day
    where state = 0 and job_id not in (select id from survivors)";

/// Drops a day without survivors, or empties it but for a few. All that takes long is done before
/// anybody is kept waiting.
async fn give_back(session: &mut Session, day: i32, until: UnixMs) -> Result<Given, Trouble> {
    session.begin().await?;
    let given = give_back_in_turn(session, day, until).await?;
    match given {
        Given::Jobs(_) => session.commit().await?,
        Given::NotNow | Given::Left => session.rollback().await?,
    }
    Ok(given)
}

async fn give_back_in_turn(
    session: &mut Session,
    day: i32,
    until: UnixMs,
) -> Result<Given, Trouble> {
    let turn: Vec<bool> = session.scalars(sqlx::query_scalar(TURN)).await?;
    if turn != [true] {
        return Ok(Given::NotNow);
    }
    // The first survivor is found sooner than all of them, for as long as a backup runs.
    if is_read(session).await? && any_survives(session, day, until).await? {
        return Ok(Given::NotNow);
    }
    let find = sqlx::query(on_day(SURVIVORS, day))
        .bind(until.0)
        .bind(crate::rows::long(MOST_SURVIVORS + 1));
    session.execute(find).await?;
    let survivors = count(session, COUNT_SURVIVORS).await?;
    if survivors > MOST_SURVIVORS {
        return Ok(Given::Left);
    }
    let jobs = count(session, on_day("select count(*) from jobs_day", day)).await?;
    if survivors > 0 && jobs < 2 * survivors {
        return Ok(Given::Left);
    }
    session.run("analyze survivors").await?;
    session.run(PATIENCE).await?;
    let lock = "lock table jobs_day, bytes_day, tags_day, attempts_day, webhooks_day
                in access exclusive mode";
    session.execute(sqlx::query(on_day(lock, day))).await?;
    let late = sqlx::query(on_day(LATE_SURVIVORS, day));
    session.execute(late).await?;
    let survivors = count(session, COUNT_SURVIVORS).await?;
    if survivors == 0 {
        drop_day(session, day).await?;
    } else if is_read(session).await? {
        return Ok(Given::NotNow);
    } else {
        compact(session, day).await?;
    }
    Ok(Given::Jobs(jobs.saturating_sub(survivors)))
}

async fn any_survives(session: &mut Session, day: i32, until: UnixMs) -> Result<bool, Trouble> {
    let query = sqlx::query_scalar(on_day(ANY_SURVIVOR, day)).bind(until.0);
    let any: Vec<bool> = session.scalars(query).await?;
    Ok(any == [true])
}

const COUNT_SURVIVORS: &str = "select count(*) from survivors";

async fn count(session: &mut Session, text: impl SqlSafeStr) -> Result<u64, Trouble> {
    let counted: Vec<i64> = session.scalars(sqlx::query_scalar(text)).await?;
    Ok(counted
        .first()
        .map_or(0, |count| u64::try_from(*count).unwrap_or(0)))
}

async fn drop_day(session: &mut Session, day: i32) -> Result<(), Trouble> {
    for text in [
        "alter table jobs detach partition jobs_day",
        "alter table bytes detach partition bytes_day",
        "alter table tags detach partition tags_day",
        "alter table attempts detach partition attempts_day",
        "alter table webhooks detach partition webhooks_day",
        "drop table jobs_day, bytes_day, tags_day, attempts_day, webhooks_day",
    ] {
        session.execute(sqlx::query(on_day(text, day))).await?;
    }
    Ok(())
}

/// Whether somebody has a snapshot in which emptied tables would look empty: truncating is not
/// transactional to them. A backup holds a snapshot too.
async fn is_read(session: &mut Session) -> Result<bool, Trouble> {
    let text = "select exists (select from pg_stat_activity
                where backend_xmin is not null and pid <> pg_backend_pid()
                    and datname = current_database())";
    let read: Vec<bool> = session.scalars(sqlx::query_scalar(text)).await?;
    Ok(read == [true])
}

/// All columns of a job but the generated one.
macro_rules! kept_columns {
    () => {
        "id, tenant, queue, state, rev, attempt, failures, doubts, timeout_s, start_within_s,
         max_attempts, retry_delay_s, webhook, tags, trace_parent, trace_state, input_type,
         input_size, created_at, due_at, wake_at, started_at, finished_at, cancel_requested_at,
         clerk, number, worker, held, unlisted, output_type, output_size, failure, retry_of,
         retried_as, deleted_at, input, output"
    };
}

const KEEP: &str = concat!(
    "create temporary table kept_jobs on commit drop as select ",
    kept_columns!(),
    " from jobs_day where id in (select id from survivors)"
);

const EMPTY: [&str; 10] = [
    "create temporary table kept_bytes on commit drop as
         select * from bytes_day where job_id in (select id from kept_jobs)",
    "create temporary table kept_tags on commit drop as
         select * from tags_day where job_id in (select id from kept_jobs)",
    "create temporary table kept_attempts on commit drop as
         select * from attempts_day where job_id in (select id from kept_jobs)",
    "create temporary table kept_webhooks on commit drop as
         select * from webhooks_day where job_id in (select id from kept_jobs)",
    "truncate jobs_day, bytes_day, tags_day, attempts_day, webhooks_day",
    concat!(
        "insert into jobs_day (",
        kept_columns!(),
        ") select ",
        kept_columns!(),
        " from kept_jobs"
    ),
    "insert into bytes_day select * from kept_bytes",
    "insert into tags_day select * from kept_tags",
    "insert into attempts_day select * from kept_attempts",
    "insert into webhooks_day select * from kept_webhooks",
];

/// Empties a day's tables and puts the survivors back.
async fn compact(session: &mut Session, day: i32) -> Result<(), Trouble> {
    session.execute(sqlx::query(on_day(KEEP, day))).await?;
    for text in EMPTY {
        session.execute(sqlx::query(on_day(text, day))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_is_left_is_looked_at_again_after_an_hour() {
        let left = LeftDays::default();
        let now = UnixMs(1_700_000_000_000);
        left.leave(5, now);
        assert!(left.has(5, now));
        assert!(!left.has(6, now));
        assert!(left.has(5, now.after(LEFT_FOR)));
        assert!(!left.has(5, now.after(LEFT_FOR * 2)));
        assert!(!left.has(5, now.before(LEFT_FOR)), "the time went back");
        left.leave(6, now.after(LEFT_FOR * 2));
        assert_eq!(left.0.lock().unwrap().len(), 1, "the old one is forgotten");
    }
}
