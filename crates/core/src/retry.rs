//! How long to wait before the next attempt.

use std::time::Duration;

/// The longest wait before a random factor is applied.
pub const MOST: Duration = Duration::from_secs(3600);

/// The longest wait that a worker can ask for: as long as the longest delay of a submission.
pub const MOST_ASKED: Duration = Duration::from_secs(2_592_000);

/// The wait after the `failures`th failure, from 1: the job's own delay, doubled with each further
/// failure up to an hour, times a factor between 0.5 and 1.5.
///
/// `chance` is a random number from 0 to 1; others are clamped.
///
/// ```
/// use std::time::Duration;
/// let delay = clerkwork_core::retry::delay;
/// assert_eq!(delay(1, 1, 0.5), Duration::from_secs(1));
/// assert_eq!(delay(3, 1, 0.5), Duration::from_secs(4));
/// assert_eq!(delay(3, 1, 0.0), Duration::from_secs(2));
/// assert_eq!(delay(100, 10, 0.5), Duration::from_secs(3600));
/// assert_eq!(delay(7, 0, 1.0), Duration::ZERO);
/// ```
#[must_use]
#[expect(
    clippy::manual_clamp,
    reason = "`clamp` lets NaN through, `max` does not"
)]
pub fn delay(failures: u32, retry_delay_s: u32, chance: f64) -> Duration {
    let doubled = 1u64
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u64::MAX);
    let seconds = u64::from(retry_delay_s)
        .saturating_mul(doubled)
        .min(MOST.as_secs());
    let chance = chance.max(0.0).min(1.0);
    Duration::from_secs(seconds).mul_f64(0.5 + chance)
}
