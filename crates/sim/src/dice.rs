//! What is left to chance: everything is drawn from the one seed of the run.

use std::ops::Range;
use std::time::Duration;

use clerkwork_core::chance;
use rand::RngExt as _;

/// Whether something happens that does so with this likelihood.
pub(crate) fn odds(likelihood: f64) -> bool {
    likelihood > 0.0 && chance().random::<f64>() < likelihood
}

/// A number of this range; its beginning, if it is empty.
pub(crate) fn number(range: Range<u64>) -> u64 {
    if range.is_empty() {
        return range.start;
    }
    chance().random_range(range)
}

/// A place in something that has so many.
pub(crate) fn place(count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    chance().random_range(0..count)
}

/// A span of so many milliseconds.
pub(crate) fn millis(range: Range<u64>) -> Duration {
    Duration::from_millis(number(range))
}

/// How long something takes that is quick as a rule: mostly nothing or a few milliseconds, now and then
/// many.
pub(crate) fn moment() -> Duration {
    match number(0..100) {
        0..50 => Duration::ZERO,
        50..90 => millis(1..4),
        90..99 => millis(4..40),
        _ => millis(40..400),
    }
}

/// Lets so much time pass; none is no turn of anybody else either.
pub(crate) async fn pass(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}
