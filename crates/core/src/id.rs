//! The ids of jobs and of clerks.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::chance;
use crate::clock::{DAY_MS, UnixMs};

/// The id of a job: a UUIDv7, so it begins with the time at which it was accepted.
///
/// An id is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id for a job that is accepted at `now`.
    #[must_use]
    pub fn at(now: UnixMs) -> Self {
        let ms = u64::try_from(now.0).unwrap_or(0);
        let random: [u8; 10] = chance().random();
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// A new id for the first job of a batch that is accepted at `now`, with room behind it for those
    /// of the others: see [`JobId::batch`].
    #[must_use]
    pub fn first_of_batch(now: UnixMs) -> Self {
        let id = Self::at(now).0.as_u128();
        Self(Uuid::from_u128(id & !(Self::MOST_TOGETHER - 1)))
    }

    /// The ids of `count` jobs that were accepted together, of which this is the first one's: each is
    /// the next higher number, so that whoever knows the first knows all.
    pub fn batch(self, count: usize) -> impl Iterator<Item = Self> {
        let first = self.0.as_u128();
        (0..Self::MOST_TOGETHER)
            .take(count)
            .map(move |at| Self(Uuid::from_u128(first | at)))
    }

    /// The ids that there are for one batch: a power of two.
    const MOST_TOGETHER: u128 = 1 << 10;

    /// The lowest id that a job accepted at `moment` can have.
    #[must_use]
    pub fn first_of(moment: UnixMs) -> Self {
        let ms = u128::try_from(moment.0).unwrap_or(0);
        Self(Uuid::from_u128(ms << 80))
    }

    /// Reads an id that we made; `None` for any other UUID.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        (uuid.get_version_num() == 7).then_some(Self(uuid))
    }

    /// The id as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// When the job was accepted.
    #[must_use]
    pub fn moment(self) -> UnixMs {
        UnixMs(i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX))
    }

    /// The day, counted from 1970 in UTC, whose partition keeps the job.
    #[must_use]
    pub fn day(self) -> i32 {
        self.moment().day()
    }

    /// The lowest id of a day, counted from 1970 in UTC.
    #[must_use]
    pub fn first_of_day(day: i32) -> Self {
        Self::first_of(UnixMs(i64::from(day) * DAY_MS))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidId)?;
        Self::from_uuid(uuid).ok_or(InvalidId)
    }
}

/// A text that is no job's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a job")]
pub struct InvalidId;

/// One incarnation of a clerk: a number that the store gives out and never gives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClerkId(pub i64);

impl fmt::Display for ClerkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_time_at_which_it_was_made() {
        let now = UnixMs(1_763_900_000_123);
        let id = JobId::at(now);
        assert_eq!(id.moment(), now);
        assert!(JobId::first_of(now) <= id && id < JobId::first_of(UnixMs(now.0 + 1)));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn the_ids_of_a_batch_follow_its_first_and_are_of_its_moment() {
        let now = UnixMs(1_763_900_000_123);
        for _ in 0..100 {
            let first = JobId::first_of_batch(now);
            let ids: Vec<JobId> = first.batch(1_000).collect();
            assert_eq!((ids.len(), ids[0]), (1_000, first));
            assert!(ids.is_sorted_by(|one, next| one < next));
            for id in ids {
                assert_eq!((id.moment(), id.to_string().parse()), (now, Ok(id)));
            }
        }
    }

    #[test]
    fn other_uuids_are_not_ids_of_jobs() {
        assert_eq!(
            "a1b2c3d4-0000-4000-8000-000000000000".parse::<JobId>(),
            Err(InvalidId)
        );
        assert_eq!("".parse::<JobId>(), Err(InvalidId));
    }
}
