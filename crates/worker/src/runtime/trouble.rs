//! The pauses of a queue whose jobs cannot be started here: meanwhile other workers have them.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each further one is twice as long.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// The pauses of one queue.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The last pause and its end.
    last: Option<(Duration, Instant)>,
}

impl Trouble {
    /// Notes that a job could not be started; the length of the pause that begins by that. What was
    /// tried together with others begins one pause with them.
    pub(super) fn note(&mut self, now: Instant) -> Option<Duration> {
        let pause = match self.last {
            Some((_, until)) if now < until => return None,
            Some((pause, _)) => (pause * 2).min(LONGEST),
            None => SHORTEST,
        };
        self.last = Some((pause, now + pause));
        Some(pause)
    }

    /// Forgets all: a job was started.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// The end of the pause, if there is one now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        let (_, until) = self.last?;
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_twice_as_long_as_the_last_one_and_at_most_a_minute() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(trouble.note(now), Some(pause));
            assert_eq!(trouble.note(now), None, "tried at the same time");
            assert_eq!(trouble.until(now), Some(now + pause));
            now += pause;
            assert_eq!(trouble.until(now), None);
        }
        trouble.forget();
        assert_eq!(trouble.note(now), Some(SHORTEST));
    }
}
