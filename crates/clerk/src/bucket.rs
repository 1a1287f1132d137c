//! A token bucket: so many per second, and one second's worth at once.

use std::time::Duration;

use tokio::time::Instant;

/// How much is left, as of some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            left: per_second,
            at: now,
        }
    }

    /// Takes one, or says after which time there will be one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / self.per_second))
    }

    /// Puts one back that was taken.
    pub(crate) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.per_second);
    }

    /// How many may be taken now.
    pub(crate) fn left(&mut self, now: Instant) -> u32 {
        self.fill(now);
        // Between 0 and a rate that is a `u32`.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        let whole = self.left as u32;
        whole
    }

    /// Whether a new one would be as good.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.per_second
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_may_be_taken_at_once_and_then_as_it_comes_in() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(4, begin);
        for left in (0..4).rev() {
            assert_eq!(bucket.take(begin), Ok(()));
            assert_eq!(bucket.left(begin), left);
        }
        assert_eq!(bucket.take(begin), Err(Duration::from_millis(250)));
        let later = begin + Duration::from_millis(250);
        assert_eq!(bucket.take(later), Ok(()));
        assert!(bucket.take(later).is_err());
        let much_later = begin + Duration::from_secs(60);
        assert_eq!(bucket.left(much_later), 4);
        assert!(bucket.is_full(much_later));
    }
}
