//! Who an idempotency key belongs to, as both databases judge it.

use std::collections::{BTreeMap, HashMap};

use clerkwork_core::{JobId, State};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::rows::job_id;
use crate::{Accepted, Error, Key, NewJob};

/// What has a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    fingerprint: [u8; 32],
    job: JobId,
    visible: bool,
}

/// A key that was claimed before.
#[derive(Debug, FromRow)]
pub(crate) struct OwnerRow {
    pub(crate) key: Vec<u8>,
    fingerprint: Vec<u8>,
    job_id: Uuid,
    visible: bool,
}

/// Keys of a batch, each with who asks for it first, in the order of the keys, so that two batches
/// never wait for each other.
pub(crate) type Claims = BTreeMap<[u8; 32], Owner>;

/// Known owners.
pub(crate) type Owners = HashMap<[u8; 32], Owner>;

/// Where the jobs stand whose keys are to be claimed together: those without an answer. A retry claims
/// its key itself, once its original is there.
pub(crate) fn unclaimed(jobs: &[NewJob], answers: &[Option<Accepted>]) -> Vec<usize> {
    (0..jobs.len())
        .filter(|at| {
            answers[*at].is_none() && jobs[*at].key.is_some() && jobs[*at].job.retry_of.is_none()
        })
        .collect()
}

/// The claims of these jobs; equal keys are one claim, of the first job that has it.
pub(crate) fn claims(jobs: &[&NewJob]) -> Claims {
    let mut claims = Claims::new();
    for new in jobs {
        if let Some(Key { key, fingerprint }) = new.key {
            let owner = Owner {
                fingerprint,
                job: new.first(),
                visible: true,
            };
            claims.entry(key).or_insert(owner);
        }
    }
    claims
}

/// What becomes of a job by its key's owner; `None`: it is to be stored.
pub(crate) fn judge(new: &NewJob, owners: &Owners) -> Option<Accepted> {
    let key = new.key.as_ref()?;
    let owner = owners.get(&key.key)?;
    if owner.job == new.first() {
        None
    } else {
        Some(owner.answer(key))
    }
}

/// Owners as rows have them, by key.
pub(crate) fn owners(rows: Vec<OwnerRow>) -> Result<Owners, Error> {
    rows.into_iter()
        .map(|row| {
            let owner = Owner {
                fingerprint: hash(&row.fingerprint)?,
                job: job_id("keys", row.job_id)?,
                visible: row.visible,
            };
            Ok((hash(&row.key)?, owner))
        })
        .collect()
}

impl Owner {
    /// SHA-256 of what was asked for.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// What the same key answers from now on.
    pub(crate) fn answer(&self, key: &Key) -> Accepted {
        if self.fingerprint == key.fingerprint && self.visible {
            Accepted::Replayed(self.job)
        } else {
            Accepted::KeyReused
        }
    }

    /// The job.
    pub(crate) fn job(&self) -> JobId {
        self.job
    }
}

/// A SHA-256 that was kept as bytes.
pub(crate) fn hash(bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| Error::Corrupt {
        table: "keys",
        detail: format!("a hash of {} bytes", bytes.len()),
    })
}

/// What becomes of the job `new`, which a client made from a job with this state and `retried_as`;
/// `None`: it may be that job's retry.
pub(crate) fn judge_original(
    original: Option<(i16, Option<Uuid>)>,
    new: JobId,
) -> Result<Option<Accepted>, Error> {
    let retryable = [State::Failed, State::Cancelled, State::Expired].map(State::number);
    match original {
        Some((_, Some(retry))) if retry == new.uuid() => Ok(Some(Accepted::Already)),
        Some((_, Some(retry))) => Ok(Some(Accepted::Replayed(job_id("jobs", retry)?))),
        Some((state, None)) if retryable.contains(&state) => Ok(None),
        Some((_, None)) | None => Ok(Some(Accepted::NoOriginal)),
    }
}
