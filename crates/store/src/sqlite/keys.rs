//! Claims of idempotency keys.

use std::collections::HashSet;

use clerkwork_core::UnixMs;
use sqlx::SqliteConnection;

use super::batch::{Batch, Cells, MOST};
use super::failed;
use super::hand::Inner;
use crate::keys::{self, Claims, OwnerRow, Owners, hash};
use crate::{Accepted, Error, Key, NewJob};

/// A key that was claimed before yesterday is as good as new.
static CLAIM: Batch = Batch::new(
    "insert into keys (key, fingerprint, job_id, day) select * from",
    4,
    "where column1 is not null
     on conflict (key) do update set
         fingerprint = excluded.fingerprint, job_id = excluded.job_id, day = excluded.day
     where keys.day < excluded.day - 1
     returning key",
);

static OWNERS: Batch = Batch::new(
    "select k.key, k.fingerprint, k.job_id, exists (
         select 1 from jobs as j where j.id = k.job_id and j.deleted_at is null
     ) as visible
     from keys as k where k.key in",
    1,
    "",
);

/// Claims the keys of these jobs. The answers are in order; `None`: the job is to be stored.
pub(super) async fn claim(
    conn: &mut SqliteConnection,
    jobs: &[&NewJob],
) -> Result<Vec<Option<Accepted>>, Error> {
    let claims = keys::claims(jobs);
    let day = jobs
        .iter()
        .map(|new| new.job.created_at.day())
        .max()
        .unwrap_or(0);
    let claimed = insert(conn, &claims, day).await?;
    let mut owners = Owners::new();
    let mut taken = Vec::new();
    for (key, claim) in claims {
        if claimed.contains(&key) {
            owners.insert(key, claim);
        } else {
            taken.push(key);
        }
    }
    owners.extend(look_up(conn, &taken).await?);
    Ok(jobs.iter().map(|new| keys::judge(new, &owners)).collect())
}

/// What this key answers if it is claimed, and not as good as new.
pub(super) async fn claimed(
    inner: &Inner,
    key: &Key,
    now: UnixMs,
) -> Result<Option<Accepted>, Error> {
    let mut reading = inner.read().await?;
    let text = "select k.key, k.fingerprint, k.job_id, exists (
                    select 1 from jobs as j where j.id = k.job_id and j.deleted_at is null
                ) as visible
                from keys as k where k.key = ? and k.day >= ?";
    let rows: Vec<OwnerRow> = sqlx::query_as(text)
        .bind(key.key.to_vec())
        .bind(now.day() - 1)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    let owners = keys::owners(rows)?;
    Ok(owners.get(&key.key).map(|owner| owner.answer(key)))
}

async fn insert(
    conn: &mut SqliteConnection,
    claims: &Claims,
    day: i32,
) -> Result<HashSet<[u8; 32]>, Error> {
    let claims: Vec<_> = claims.iter().collect();
    let mut claimed = HashSet::new();
    for chunk in claims.chunks(MOST) {
        let mut cells = Cells::default();
        for (key, claim) in chunk {
            cells.put(key.as_slice())?;
            cells.put(claim.fingerprint().as_slice())?;
            cells.put(claim.job().uuid())?;
            cells.put(day)?;
        }
        for (key,) in CLAIM.run::<(Vec<u8>,)>(conn, chunk.len(), cells).await? {
            claimed.insert(hash(&key)?);
        }
    }
    Ok(claimed)
}

async fn look_up(conn: &mut SqliteConnection, taken: &[[u8; 32]]) -> Result<Owners, Error> {
    let mut owners = Owners::new();
    for chunk in taken.chunks(MOST) {
        let mut cells = Cells::default();
        for key in chunk {
            cells.put(key.as_slice())?;
        }
        let rows: Vec<OwnerRow> = OWNERS.run(conn, chunk.len(), cells).await?;
        owners.extend(keys::owners(rows)?);
    }
    Ok(owners)
}
