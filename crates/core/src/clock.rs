//! Time as milliseconds since 1970, and where it comes from.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
///
/// In JSON it is RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The moment `duration` later; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The moment `duration` earlier; saturates.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The time from `earlier` to this moment; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Days since 1970, in UTC.
    #[must_use]
    pub fn day(self) -> i32 {
        i32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
    }
}

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let nanos = i128::from(self.0) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|moment| moment.format(format).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for UnixMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl std::str::FromStr for UnixMs {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTime)?;
        let ms = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(ms).map(Self).map_err(|_| InvalidTime)
    }
}

/// A text that is no RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time, such as 2026-11-24T10:00:00.000Z")]
pub struct InvalidTime;

/// Where the time comes from. Everything that needs the time takes one of these.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> UnixMs;
}

thread_local! {
    static WALL: RefCell<Option<Arc<dyn Clock>>> = const { RefCell::new(None) };
}

/// Gives the machine of this thread another clock, or with `None` its own again; returns the one
/// before. A [`SystemClock`] keeps the one under which it was made. For simulations.
pub fn set_wall(clock: Option<Arc<dyn Clock>>) -> Option<Arc<dyn Clock>> {
    WALL.with(|wall| wall.replace(clock))
}

/// The store's time, as far as it was told, and until then the machine's.
///
/// Once it was told, it measures how time passes and does not look at the machine's clock any more: whoever sets that one
/// does not move this one.
#[derive(Debug)]
pub struct SystemClock {
    machine: fn() -> UnixMs,
    /// Shown in place of the machine's time.
    wall: Option<Arc<dyn Clock>>,
    made: Instant,
    /// What it shows beyond what has passed, or beyond the wall; `UNTOLD` before it was told.
    ahead_ms: AtomicI64,
}

/// No time is so early.
const UNTOLD: i64 = i64::MIN;

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemClock {
    /// The machine's clock, uncorrected.
    #[must_use]
    pub fn new() -> Self {
        Self::of(machine)
    }

    fn of(machine: fn() -> UnixMs) -> Self {
        let wall = WALL.with_borrow(Clone::clone);
        let ahead = if wall.is_some() { 0 } else { UNTOLD };
        Self {
            machine,
            wall,
            made: Instant::now(),
            ahead_ms: AtomicI64::new(ahead),
        }
    }

    /// Moves the clock so that it shows `truth` now; `truth` is the store's time.
    pub fn discipline(&self, truth: UnixMs) {
        let ahead = truth.0.saturating_sub(self.passed());
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// Heeds the store's time, which it told some time after this clock showed `asked`: moves the clock
    /// where it is off by more than `tolerance`, whenever in between that was. Returns how far it was moved.
    pub fn heed(&self, asked: UnixMs, truth: UnixMs, tolerance: Duration) -> Duration {
        let now = self.now();
        let half = now.since(asked) / 2;
        // Told half-way, as far as we know.
        let truth = truth.after(half);
        let off = truth.since(now).max(now.since(truth));
        if off > tolerance + half {
            self.discipline(truth);
            return off;
        }
        if self.ahead_ms.load(Ordering::Relaxed) == UNTOLD {
            self.discipline(now);
        }
        Duration::ZERO
    }

    /// What has passed since it was made, or the wall.
    fn passed(&self) -> i64 {
        self.wall.as_ref().map_or_else(
            || i64::try_from(self.made.elapsed().as_millis()).unwrap_or(i64::MAX),
            |wall| wall.now().0,
        )
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the machine"
)]
fn machine() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMs(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        match self.ahead_ms.load(Ordering::Relaxed) {
            UNTOLD => (self.machine)(),
            ahead => UnixMs(self.passed().saturating_add(ahead)),
        }
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now` until it is told otherwise.
    #[must_use]
    pub fn at(now: UnixMs) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_json_with_its_milliseconds() {
        let moment = UnixMs(1_763_900_000_120);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2025-11-23T12:13:20.120Z\"");
        assert_eq!(serde_json::from_str::<UnixMs>(&json).unwrap(), moment);
    }

    #[test]
    fn days_begin_at_midnight_utc_also_before_1970() {
        assert_eq!(UnixMs(0).day(), 0);
        assert_eq!(UnixMs(DAY_MS - 1).day(), 0);
        assert_eq!(UnixMs(-1).day(), -1);
    }

    #[test]
    fn a_clock_shows_the_wall_under_which_it_was_made() {
        let wall = Arc::new(ManualClock::at(UnixMs(7)));
        assert!(set_wall(Some(wall.clone())).is_none());
        let clock = SystemClock::new();
        assert!(set_wall(None).is_some());
        wall.advance(Duration::from_millis(1));
        assert_eq!(clock.now(), UnixMs(8));
        assert!(SystemClock::new().now() > UnixMs(1_700_000_000_000));
    }

    #[test]
    fn an_answer_that_was_long_under_way_sets_no_clock_back() {
        let wall = Arc::new(ManualClock::at(UnixMs(1_000)));
        set_wall(Some(wall.clone()));
        let clock = SystemClock::new();
        set_wall(None);
        let asked = clock.now();
        let tolerance = Duration::from_millis(50);
        wall.advance(Duration::from_millis(400));
        for told in [1_000, 1_200, 1_400] {
            clock.heed(asked, UnixMs(told), tolerance);
            assert_eq!(clock.now(), UnixMs(1_400), "told {told}");
        }
        clock.heed(asked, UnixMs(9_000), tolerance);
        assert_eq!(clock.now(), UnixMs(9_200));
    }

    #[test]
    fn whoever_sets_the_machines_clock_moves_no_clock_that_was_told_the_stores_time() {
        static MACHINE: AtomicI64 = AtomicI64::new(0);
        let set = |ms| MACHINE.store(ms, Ordering::Relaxed);
        let clock = SystemClock::of(|| UnixMs(MACHINE.load(Ordering::Relaxed)));
        let told = UnixMs(10_000_000);
        set(told.0);
        assert_eq!(clock.now(), told, "untold, it is the machine's");
        // It is right, and is heeded all the same.
        clock.heed(told, told, Duration::ZERO);
        for hour in [-3_600_000, 3_600_000] {
            set(told.0 + hour);
            let now = clock.now();
            assert!(now >= told && now.since(told) < Duration::from_secs(5));
        }
    }

    #[test]
    fn a_disciplined_clock_shows_the_stores_time() {
        let clock = SystemClock::new();
        clock.discipline(UnixMs(5_000_000));
        assert!(clock.now().since(UnixMs(5_000_000)) < Duration::from_secs(5));
    }
}
