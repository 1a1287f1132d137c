//! Claims of idempotency keys: three tables, by day modulo 3.
//!
//! The day is that of the jobs, whose clock the database's disciplines. Around midnight a claim goes
//! into the tables of both days, the older first, so that clerks that do not agree on the day still
//! meet in one unique index.

use std::time::Duration;

use clerkwork_core::UnixMs;

use super::session::Session;
use super::trouble::Trouble;
use crate::keys::{self, Claims, OwnerRow, Owners, hash};
use crate::{Accepted, Key, NewJob};

/// How far from midnight both days are claimed.
const MIDNIGHT: Duration = Duration::from_secs(5 * 60);

/// Claims the keys of these jobs. The answers are in order; `None`: the job is to be stored.
pub(super) async fn claim(
    session: &mut Session,
    jobs: &[&NewJob],
) -> Result<Vec<Option<Accepted>>, Trouble> {
    let now = jobs
        .iter()
        .map(|new| new.job.created_at)
        .max()
        .unwrap_or_default();
    let days = claim_days(now);
    let mut claims = keys::claims(jobs);
    let mut owners = Owners::new();
    if !days.contains(&(now.day() - 1)) {
        let found = look_up(session, now.day() - 1, &names(&claims)).await?;
        claims.retain(|key, _| !found.contains_key(key));
        owners.extend(found);
    }
    for day in days {
        let claimed = insert(session, day, &claims).await?;
        let (mine, theirs): (Claims, Claims) = claims
            .into_iter()
            .partition(|(key, _)| claimed.contains(key));
        owners.extend(look_up(session, day, &names(&theirs)).await?);
        claims = mine;
    }
    owners.extend(claims);
    Ok(jobs.iter().map(|new| keys::judge(new, &owners)).collect())
}

/// What this key answers if it is claimed.
pub(super) async fn claimed(
    session: &mut Session,
    key: &Key,
    now: UnixMs,
) -> Result<Option<Accepted>, Trouble> {
    let mut days = claim_days(now);
    days.push(now.day() - 1);
    days.sort_unstable();
    days.dedup();
    for day in days {
        let owners = look_up(session, day, &[key.key]).await?;
        if let Some(owner) = owners.get(&key.key) {
            return Ok(Some(owner.answer(key)));
        }
    }
    Ok(None)
}

/// The days that are claimed at this time, the older first.
fn claim_days(now: UnixMs) -> Vec<i32> {
    let mut days = vec![now.before(MIDNIGHT).day(), now.after(MIDNIGHT).day()];
    days.dedup();
    days
}

/// What a table had from three days ago counts as nothing.
const INSERT: [&str; 3] = [
    "insert into keys_0 as old (key, fingerprint, job_id, day)
     select * from unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::int[])
     on conflict (key) do update set fingerprint = excluded.fingerprint,
         job_id = excluded.job_id, day = excluded.day
     where old.day < excluded.day returning key",
    "insert into keys_1 as old (key, fingerprint, job_id, day)
     select * from unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::int[])
     on conflict (key) do update set fingerprint = excluded.fingerprint,
         job_id = excluded.job_id, day = excluded.day
     where old.day < excluded.day returning key",
    "insert into keys_2 as old (key, fingerprint, job_id, day)
     select * from unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::int[])
     on conflict (key) do update set fingerprint = excluded.fingerprint,
         job_id = excluded.job_id, day = excluded.day
     where old.day < excluded.day returning key",
];

async fn insert(
    session: &mut Session,
    day: i32,
    claims: &Claims,
) -> Result<Vec<[u8; 32]>, Trouble> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let query = sqlx::query_scalar(of_day(&INSERT, day))
        .bind(claims.keys().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
        .bind(
            claims
                .values()
                .map(|claim| claim.fingerprint().to_vec())
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .values()
                .map(|claim| claim.job().uuid())
                .collect::<Vec<_>>(),
        )
        .bind(vec![day; claims.len()]);
    let claimed: Vec<Vec<u8>> = session.scalars(query).await?;
    claimed
        .iter()
        .map(|key| hash(key).map_err(Trouble::Over))
        .collect()
}

const LOOK_UP: [&str; 3] = [
    "select key, fingerprint, job_id, exists (
         select from jobs where jobs.id = job_id and jobs.deleted_at is null
     ) as visible
     from keys_0 where key = any($1) and day = $2",
    "select key, fingerprint, job_id, exists (
         select from jobs where jobs.id = job_id and jobs.deleted_at is null
     ) as visible
     from keys_1 where key = any($1) and day = $2",
    "select key, fingerprint, job_id, exists (
         select from jobs where jobs.id = job_id and jobs.deleted_at is null
     ) as visible
     from keys_2 where key = any($1) and day = $2",
];

async fn look_up(session: &mut Session, day: i32, keys: &[[u8; 32]]) -> Result<Owners, Trouble> {
    if keys.is_empty() {
        return Ok(Owners::new());
    }
    let query = sqlx::query_as(of_day(&LOOK_UP, day))
        .bind(keys.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
        .bind(day);
    let rows: Vec<OwnerRow> = session.rows(query).await?;
    Ok(keys::owners(rows)?)
}

fn names(claims: &Claims) -> Vec<[u8; 32]> {
    claims.keys().copied().collect()
}

/// The statement for the table of a day.
pub(super) fn of_day(texts: &[&'static str; 3], day: i32) -> &'static str {
    texts[usize::try_from(day.rem_euclid(3)).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use clerkwork_core::clock::DAY_MS;

    use super::*;

    #[test]
    fn both_days_are_claimed_around_midnight_and_one_otherwise() {
        let midnight = 100 * DAY_MS;
        assert_eq!(claim_days(UnixMs(midnight - 300_001)), [99]);
        assert_eq!(claim_days(UnixMs(midnight - 299_999)), [99, 100]);
        assert_eq!(claim_days(UnixMs(midnight)), [99, 100]);
        assert_eq!(claim_days(UnixMs(midnight + 299_999)), [99, 100]);
        assert_eq!(claim_days(UnixMs(midnight + 300_000)), [100]);
    }
}
