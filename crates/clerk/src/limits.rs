//! The bounds of what each key may ask for on this clerk: requests per second, streams and held requests at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{JobId, KeyId};
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::bytes_in_flight::BytesInFlight;
use crate::config::Config;
use crate::http::{LARGEST_REQUEST, Outputs};
use crate::places::{Place, Places};

/// The bounds of what keys may ask for; cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    submit: Option<u32>,
    other: Option<u32>,
    buckets: Mutex<HashMap<(Option<KeyId>, Rate), Bucket>>,
    streams: Places<Viewer>,
    /// Held requests, streams and sockets.
    open: SharedPlaces,
    /// Jobs that are followed on sockets.
    followed: SharedPlaces,
    bytes: BytesInFlight,
    outputs: Outputs,
}

/// Places of which whoever comes takes one as long as there are any, and where there are none each key or
/// token its share all the same, so that none takes all.
#[derive(Debug)]
struct SharedPlaces {
    most: usize,
    all: Places<()>,
    of_each: Places<Viewer>,
}

/// A place of those; it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct SharedPlace {
    _of_all: Place<()>,
    _of_each: Option<Place<Viewer>>,
}

impl SharedPlaces {
    fn new(most: usize) -> Self {
        Self {
            most,
            all: Places::default(),
            of_each: Places::default(),
        }
    }

    /// Takes one; callers without a key have no share.
    fn take(&self, viewer: Option<Viewer>) -> Result<SharedPlace, TooMany> {
        let is_full = self.all.of(()) >= self.most;
        let of_each = match viewer {
            None if is_full => return Err(TooMany::OfClerk),
            None => None,
            Some(viewer) => {
                let most = if is_full {
                    self.most / SHARE
                } else {
                    usize::MAX
                };
                Some(self.of_each.take(viewer, most).ok_or(TooMany::OfClerk)?)
            }
        };
        Ok(SharedPlace {
            _of_all: self.all.take((), usize::MAX).ok_or(TooMany::OfClerk)?,
            _of_each: of_each,
        })
    }
}

/// Whose streams are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Viewer {
    /// Those of a key.
    Key(KeyId),
    /// Those with a watch token of this job: its URL may have come to many.
    Token(JobId),
}

/// A stream or socket; it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream {
    _of_viewer: Option<Place<Viewer>>,
    _of_clerk: SharedPlace,
}

/// A held request; it counts until it is dropped.
pub(crate) type HeldRequest = SharedPlace;
/// A job that is followed on a socket; it counts until it is dropped.
pub(crate) type FollowedJob = SharedPlace;

/// The two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rate {
    /// Of submissions, `--rate-submit`.
    Submit,
    /// Of all other requests, `--rate-other`.
    Other,
}

/// The rest of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) rate: Rate,
    /// The number in a second.
    pub(crate) per_second: u32,
    /// The number now.
    pub(crate) now: u32,
}

/// The most streams at once of a key, and with watch tokens of one job.
pub(crate) const STREAMS: usize = 1_000;
/// The part of a clerk's held requests and streams that a key has even where others hold them all.
const SHARE: usize = 100;
/// The most buckets. Where there is no room, those that are full are forgotten: a new one is full too.
const BUCKETS: usize = 20_000;

impl Rate {
    /// The name of its policy.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Other => "other",
        }
    }
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let largest = config.max_input.max(config.max_output);
        Self(Arc::new(Inner {
            submit: config.rate_submit,
            other: config.rate_other,
            buckets: Mutex::default(),
            streams: Places::default(),
            open: SharedPlaces::new(config.held_max),
            followed: SharedPlaces::new(config.held_max),
            bytes: BytesInFlight::for_largest(largest, LARGEST_REQUEST),
            outputs: Outputs::default(),
        }))
    }

    /// The number of requests that a key may send in a second, if that is set.
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

    /// The rest of a key, if the rate is set.
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

    /// The bytes of requests and answers that are on their way.
    pub(crate) fn bytes(&self) -> &BytesInFlight {
        &self.0.bytes
    }

    /// The large outputs among them, one copy of each.
    pub(crate) fn outputs(&self) -> &Outputs {
        &self.0.outputs
    }

    /// Counts one more stream or socket.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn stream(&self, viewer: Option<Viewer>) -> Result<OpenStream, TooMany> {
        let of_viewer = match viewer {
            Some(viewer) => Some(self.0.streams.take(viewer, STREAMS).ok_or(TooMany::OfKey)?),
            None => None,
        };
        Ok(OpenStream {
            _of_viewer: of_viewer,
            _of_clerk: self.0.open.take(viewer)?,
        })
    }

    /// Counts one more held request of a key.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn hold(&self, key: Option<KeyId>) -> Result<HeldRequest, TooMany> {
        self.0.open.take(key.map(Viewer::Key))
    }

    /// Counts one more job that is followed on a socket, which itself is counted as a stream.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn follow(&self, viewer: Option<Viewer>) -> Result<FollowedJob, TooMany> {
        self.0.followed.take(viewer)
    }
}

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// Of this key, or with tokens of this job.
    OfKey,
    /// On this clerk.
    OfClerk,
}

/// Locks a value that is whole at every point, so a panic of another holder does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use clerkwork_core::{ApiKey, UnixMs};

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
    fn a_key_and_the_tokens_of_a_job_have_a_thousand_streams_each() {
        let limits = limits();
        let viewers = [
            Viewer::Key(ApiKey::random().id()),
            Viewer::Token(JobId::at(UnixMs(1))),
        ];
        let mut open = Vec::new();
        for viewer in viewers {
            open.extend((0..STREAMS).map(|_| limits.stream(Some(viewer)).unwrap()));
            assert_eq!(limits.stream(Some(viewer)).unwrap_err(), TooMany::OfKey);
            assert!(limits.stream(None).is_ok());
        }
        open.pop();
        assert!(limits.stream(Some(viewers[1])).is_ok());
    }

    #[test]
    fn on_a_full_clerk_a_key_still_holds_its_share_of_requests() {
        let limits = Limits::new(&Config {
            held_max: 200,
            ..Config::default()
        });
        let (greedy, modest) = (Some(ApiKey::random().id()), Some(ApiKey::random().id()));
        let all: Vec<_> = (0..200).map(|_| limits.hold(greedy).unwrap()).collect();
        assert_eq!(limits.hold(greedy).unwrap_err(), TooMany::OfClerk);
        assert_eq!(limits.hold(None).unwrap_err(), TooMany::OfClerk);
        let _one = limits.hold(modest).unwrap();
        let _two = limits.stream(modest.map(Viewer::Key)).unwrap();
        assert_eq!(limits.hold(modest).unwrap_err(), TooMany::OfClerk);
        drop(all);
        assert!(limits.hold(greedy).is_ok());
    }

    #[test]
    fn jobs_followed_on_sockets_take_no_held_request_and_no_stream() {
        let limits = Limits::new(&Config {
            held_max: 200,
            ..Config::default()
        });
        let key = || Some(Viewer::Key(ApiKey::random().id()));
        let (greedy, modest) = (key(), key());
        let _socket = limits.stream(greedy).unwrap();
        let _all: Vec<_> = (0..200).map(|_| limits.follow(greedy).unwrap()).collect();
        assert_eq!(limits.follow(greedy).unwrap_err(), TooMany::OfClerk);
        let _mine = limits.follow(modest).unwrap();
        assert!(limits.stream(None).is_ok() && limits.hold(None).is_ok());
    }
}
