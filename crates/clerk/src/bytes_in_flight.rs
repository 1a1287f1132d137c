//! The bytes of requests and answers that are on their way: only so many on this clerk, and of each client
//! at most half of them, so that none that sends or reads slowly takes the memory of all. One alone is always let in,
//! however large: an output may be older than the limit that would refuse it now.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::KeyId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The number of largest inputs or outputs that may be on their way.
const LARGEST: usize = 32;
/// The longest wait of a request for others to be through.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client whose bytes are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// Those of a key.
    Key(KeyId),
    /// Those of clients without a key at this address.
    Address(IpAddr),
}

/// The bytes on their way; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BytesInFlight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    counted: Mutex<Counted>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Counted {
    all: usize,
    of_each: HashMap<Owner, usize>,
}

/// Bytes that are on their way; they count until this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    all: BytesInFlight,
    owner: Owner,
    bytes: usize,
}

/// There are as many bytes on their way as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooManyBytes {
    /// Of this owner.
    OfOwner,
    /// On this clerk.
    OfClerk,
}

impl BytesInFlight {
    /// The budget where no input and no output is larger than `largest`, and no request than `request`.
    pub(crate) fn for_largest(largest: usize, request: usize) -> Self {
        let most = largest.saturating_mul(LARGEST);
        Self(Arc::new(Inner {
            // Of which a client has half.
            most: most.max(request.saturating_mul(2)),
            counted: Mutex::default(),
            released: Notify::new(),
        }))
    }

    /// Nothing yet, to which [`Reserved::grow`] adds.
    pub(crate) fn none(&self, owner: Owner) -> Reserved {
        Reserved {
            all: self.clone(),
            owner,
            bytes: 0,
        }
    }

    /// Waits until this many bytes more may be on their way.
    ///
    /// # Errors
    /// There are too many for too long.
    pub(crate) async fn reserve(
        &self,
        owner: Owner,
        bytes: usize,
    ) -> Result<Reserved, TooManyBytes> {
        let mut reserved = self.none(owner);
        reserved.grow(bytes).await?;
        Ok(reserved)
    }

    /// Adds bytes to the `own` ones of a reservation.
    fn try_add(&self, owner: Owner, own: usize, bytes: usize) -> Result<(), TooManyBytes> {
        let mut counted = self.counted();
        let theirs = counted.of_each.get(&owner).copied().unwrap_or(0);
        if theirs > own && theirs.saturating_add(bytes) > self.0.most / 2 {
            return Err(TooManyBytes::OfOwner);
        }
        if counted.all > own && counted.all.saturating_add(bytes) > self.0.most {
            return Err(TooManyBytes::OfClerk);
        }
        counted.all += bytes;
        counted.of_each.insert(owner, theirs + bytes);
        Ok(())
    }

    fn release(&self, owner: Owner, bytes: usize) {
        let mut counted = self.counted();
        counted.all = counted.all.saturating_sub(bytes);
        match counted.of_each.get_mut(&owner) {
            Some(theirs) if *theirs > bytes => *theirs -= bytes,
            _ => drop(counted.of_each.remove(&owner)),
        }
        drop(counted);
        self.0.released.notify_waiters();
    }

    /// Locks the counts, which are whole at every point: a panic of another holder does not matter.
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Waits until this many bytes more may be on their way.
    ///
    /// # Errors
    /// There are too many for too long.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), TooManyBytes> {
        let end = Instant::now() + PATIENCE;
        loop {
            let released = self.all.0.released.notified();
            tokio::pin!(released);
            // Before the look, so that what is released after it is not missed.
            released.as_mut().enable();
            match self.all.try_add(self.owner, self.bytes, bytes) {
                Ok(()) => {
                    self.bytes += bytes;
                    return Ok(());
                }
                Err(too_many) => timeout_at(end, released).await.map_err(|_| too_many)?,
            }
        }
    }

    /// The bytes that these are, as one with their count: it ends when nobody has them any more.
    pub(crate) fn count(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(CountedBytes {
            bytes,
            _reserved: self,
        })
    }

    /// The number of these bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

struct CountedBytes {
    bytes: Bytes,
    _reserved: Reserved,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.all.release(self.owner, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(last: u8) -> Owner {
        Owner::Address(IpAddr::from([10, 0, 0, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn no_owner_has_more_than_half_of_the_bytes_in_flight() {
        let all = BytesInFlight::for_largest(10, 0);
        let half = all.reserve(owner(1), 160).await.unwrap();
        let began = Instant::now();
        let more = all.reserve(owner(1), 1).await.unwrap_err();
        assert_eq!((more, began.elapsed()), (TooManyBytes::OfOwner, PATIENCE));
        let _other = all.reserve(owner(2), 160).await.unwrap();
        let more = all.reserve(owner(3), 1).await.unwrap_err();
        assert_eq!(more, TooManyBytes::OfClerk);
        let waits = tokio::spawn({
            let all = all.clone();
            async move {
                all.reserve(owner(1), 100)
                    .await
                    .map(|reserved| reserved.bytes())
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(half);
        assert_eq!(waits.await.unwrap(), Ok(100));
        assert_eq!(all.counted().of_each.len(), 1, "who has none is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_request_and_any_single_answer_are_let_in() {
        let all = BytesInFlight::for_largest(10, 1_000);
        let mut request = all.none(owner(1));
        for _ in 0..10 {
            request.grow(100).await.unwrap();
        }
        let other = all.reserve(owner(2), 1_000).await.unwrap();
        drop((request, other));
        let mut large = all.reserve(owner(1), 5_000).await.unwrap();
        large.grow(5_000).await.unwrap();
        let more = all.reserve(owner(1), 1).await.unwrap_err();
        assert_eq!(more, TooManyBytes::OfOwner);
        let more = all.reserve(owner(2), 1).await.unwrap_err();
        assert_eq!(more, TooManyBytes::OfClerk);
    }
}
