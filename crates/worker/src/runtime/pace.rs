//! Whether a queue's jobs prove short, which decides how many deliveries wait here.

use std::time::Duration;

/// How many runs are looked at.
const LOOK: usize = 16;
/// Jobs are short while half of them take less.
const SHORT: Duration = Duration::from_millis(20);

/// The last runs of a queue.
#[derive(Debug, Default)]
pub(super) struct Pace {
    runs: [Duration; LOOK],
    next: usize,
    full: bool,
    short: bool,
}

impl Pace {
    /// Notes a run.
    pub(super) fn note(&mut self, took: Duration) {
        self.runs[self.next] = took;
        self.next += 1;
        if self.next == LOOK {
            self.next = 0;
            self.full = true;
        }
        // Once around, and at once when a run is long: then others may be waiting behind it.
        if self.full && (self.next == 0 || (self.short && took >= SHORT)) {
            let mut sorted = self.runs;
            let (_, median, _) = sorted.select_nth_unstable(LOOK / 2);
            self.short = *median < SHORT;
        }
    }

    /// Whether half of the last runs took under 20 ms.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// Forgets all: something takes long just now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_short_while_half_of_its_last_runs_are() {
        let mut pace = Pace::default();
        for _ in 0..LOOK - 1 {
            pace.note(Duration::from_millis(1));
            assert!(!pace.is_short(), "too few runs to tell");
        }
        pace.note(Duration::from_millis(1));
        assert!(pace.is_short());
        for _ in 0..LOOK / 2 - 1 {
            pace.note(Duration::from_millis(100));
            assert!(pace.is_short());
        }
        pace.note(Duration::from_millis(100));
        assert!(!pace.is_short());
    }

    #[test]
    fn a_forgotten_pace_has_to_be_proved_again() {
        let mut pace = Pace::default();
        for _ in 0..LOOK {
            pace.note(Duration::from_millis(1));
        }
        pace.forget();
        pace.note(Duration::from_millis(1));
        assert!(!pace.is_short());
    }
}
