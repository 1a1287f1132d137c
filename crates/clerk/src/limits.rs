//! How much each key may ask for on this clerk: requests per second, and streams at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::KeyId;
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::config::Config;

/// What keys may ask for; cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    submit: Option<u32>,
    other: Option<u32>,
    buckets: Mutex<HashMap<(Option<KeyId>, Rate), Bucket>>,
    streams: Mutex<HashMap<KeyId, usize>>,
}

/// The two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rate {
    /// Of submissions, `--rate-submit`.
    Submit,
    /// Of all other requests, `--rate-other`.
    Other,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) rate: Rate,
    /// How many in a second.
    pub(crate) per_second: u32,
    /// How many now.
    pub(crate) now: u32,
}

/// The most streams of a key at once.
pub(crate) const STREAMS: usize = 1_000;
/// The most buckets. Where there is no room, those that are full are forgotten: a new one is full too.
const BUCKETS: usize = 20_000;

impl Rate {
    /// What its policy is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Other => "other",
        }
    }
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(Inner {
            submit: config.rate_submit,
            other: config.rate_other,
            buckets: Mutex::default(),
            streams: Mutex::default(),
        }))
    }

    /// How many requests a key may send in a second, if that is set.
    pub(crate) fn per_second(&self, rate: Rate) -> Option<u32> {
        match rate {
            Rate::Submit => self.0.submit,
            Rate::Other => self.0.other,
        }
    }

    /// Takes one request of a key; callers without a key are one.
    ///
    /// # Errors
    /// The key has none left for as long as this.
    pub(crate) fn take(&self, key: Option<KeyId>, rate: Rate) -> Result<(), Duration> {
        let Some(per_second) = self.per_second(rate) else {
            return Ok(());
        };
        let now = Instant::now();
        let mut buckets = lock(&self.0.buckets);
        if buckets.len() >= BUCKETS {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = buckets.entry((key, rate));
        bucket
            .or_insert_with(|| Bucket::full(per_second, now))
            .take(now)
    }

    /// What is left for a key, if the rate is set.
    pub(crate) fn left(&self, key: Option<KeyId>, rate: Rate) -> Option<Left> {
        let per_second = self.per_second(rate)?;
        let mut buckets = lock(&self.0.buckets);
        let bucket = buckets.get_mut(&(key, rate));
        let now = bucket.map_or(per_second, |bucket| bucket.left(Instant::now()));
        Some(Left {
            rate,
            per_second,
            now,
        })
    }

    /// Counts one more stream or socket of a key for as long as the answer is kept; `None` where it has
    /// as many as it may. Callers without a key are not counted: they are as many as watch.
    pub(crate) fn enter(&self, key: Option<KeyId>) -> Option<OpenStream> {
        if let Some(key) = key {
            let mut streams = lock(&self.0.streams);
            let open = streams.entry(key).or_default();
            if *open >= STREAMS {
                return None;
            }
            *open += 1;
        }
        Some(OpenStream {
            limits: self.clone(),
            key,
        })
    }
}

/// One open stream of a key; dropping it ends it.
#[derive(Debug)]
pub(crate) struct OpenStream {
    limits: Limits,
    key: Option<KeyId>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut streams = lock(&self.limits.0.streams);
        if let Some(open) = streams.get_mut(&key) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&key);
            }
        }
    }
}

/// What the lock guards is whole at every point, so a panic of another holder does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use clerkwork_core::ApiKey;

    use super::*;

    fn limits() -> Limits {
        Limits::new(&Config {
            rate_submit: Some(2),
            ..Config::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_rate_and_callers_without_one_share_theirs() {
        let limits = limits();
        let (one, two) = (Some(ApiKey::random().id()), Some(ApiKey::random().id()));
        for key in [one, two, None] {
            assert_eq!(limits.left(key, Rate::Submit).unwrap().now, 2);
            assert!(limits.take(key, Rate::Submit).is_ok());
            assert!(limits.take(key, Rate::Submit).is_ok());
            let wait = limits.take(key, Rate::Submit).unwrap_err();
            assert_eq!(wait, Duration::from_millis(500));
            assert!(limits.take(key, Rate::Other).is_ok(), "it is not set");
        }
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(limits.take(one, Rate::Submit).is_ok());
        assert!(limits.take(one, Rate::Submit).is_err());
        assert_eq!(limits.left(one, Rate::Other), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_buckets_of_keys_that_are_quiet_are_forgotten() {
        let limits = limits();
        for _ in 0..BUCKETS {
            assert!(
                limits
                    .take(Some(ApiKey::random().id()), Rate::Submit)
                    .is_ok()
            );
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(limits.take(None, Rate::Submit).is_ok());
        assert_eq!(lock(&limits.0.buckets).len(), 1);
    }

    #[test]
    fn a_key_has_a_thousand_streams_and_one_that_ends_makes_room() {
        let limits = limits();
        let (one, two) = (Some(ApiKey::random().id()), Some(ApiKey::random().id()));
        let mut open: Vec<_> = (0..STREAMS).map(|_| limits.enter(one).unwrap()).collect();
        assert!(limits.enter(one).is_none());
        assert!(limits.enter(two).is_some());
        assert!(limits.enter(None).is_some());
        open.pop();
        drop(limits.enter(one).unwrap());
        drop(open);
        assert!(lock(&limits.0.streams).is_empty());
    }
}
