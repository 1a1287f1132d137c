//! The numbers under which this clerk dispatches, and which of them are open.
//!
//! A number is open from the moment it is given out, before its statement is sent, until its publish
//! is confirmed or its row doubted. The lowest open one is the watermark: what a peer has to doubt
//! when this clerk dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{Dispatch, UnixMs};
use clerkwork_faults::{Defect, has};
use clerkwork_store::Watermark;

/// The most numbers that may be open: unconfirmed publishes of one clerk.
pub(crate) const MOST_OPEN: usize = 20_000;

/// How far the clock may have been set back between giving out a number and minting the job's id.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The numbers of one clerk's life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    last: i64,
    open: BTreeMap<i64, UnixMs>,
}

impl Ledger {
    /// Gives out `count` numbers, which begin with the time; returns the first.
    pub(crate) fn open(&self, count: u32, now: UnixMs) -> i64 {
        let mut numbers = self.lock();
        let first = Dispatch::first_number(now).max(numbers.last + 1);
        let last = first + i64::from(count) - 1;
        numbers.last = numbers.last.max(last);
        numbers
            .open
            .extend((first..=last).map(|number| (number, now)));
        first
    }

    /// Closes numbers: confirmed, doubted, or never used.
    pub(crate) fn close(&self, closed: impl IntoIterator<Item = i64>) {
        let mut numbers = self.lock();
        for number in closed {
            numbers.open.remove(&number);
        }
    }

    /// How many are open.
    pub(crate) fn open_count(&self) -> usize {
        self.lock().open.len()
    }

    /// What a peer has to doubt from on if we die now.
    pub(crate) fn watermark(&self, now: UnixMs) -> Watermark {
        let numbers = self.lock();
        let (number, at) = match numbers.open.first_key_value() {
            Some((number, at)) if !has(Defect::NoWatermark) => (*number, *at),
            _ => (numbers.last + 1, now),
        };
        Watermark {
            number,
            at: at.before(CLOCK_SLACK),
        }
    }

    /// Begins the life of a new incarnation: what was open is its predecessor's.
    pub(crate) fn restart(&self) {
        self.lock().open.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_the_lowest_open_number_and_its_time() {
        let ledger = Ledger::default();
        let first = ledger.open(2, UnixMs(10_000));
        let third = ledger.open(1, UnixMs(20_000));
        let at = |ms: i64| UnixMs(ms).before(CLOCK_SLACK);
        assert_eq!(
            ledger.watermark(UnixMs(99_000)),
            Watermark {
                number: first,
                at: at(10_000)
            }
        );
        ledger.close([first, first + 1]);
        assert_eq!(
            ledger.watermark(UnixMs(99_000)),
            Watermark {
                number: third,
                at: at(20_000)
            }
        );
        ledger.close([third]);
        assert_eq!(
            ledger.watermark(UnixMs(99_000)),
            Watermark {
                number: third + 1,
                at: at(99_000)
            }
        );
        assert_eq!(ledger.open_count(), 0);
    }

    #[test]
    fn a_new_incarnation_owes_nothing_and_reuses_no_number() {
        let ledger = Ledger::default();
        let first = ledger.open(5, UnixMs(2));
        ledger.restart();
        assert_eq!(ledger.open_count(), 0);
        assert_eq!(ledger.open(1, UnixMs(1)), first + 5);
    }

    #[test]
    fn a_number_says_when_it_was_given_out() {
        let ledger = Ledger::default();
        let clerk = clerkwork_core::ClerkId(7);
        let at = |number| Dispatch { clerk, number }.at();
        let first = ledger.open(2_000, UnixMs(1_700_000_000_000));
        assert_eq!(at(first), UnixMs(1_700_000_000_000));
        assert_eq!(at(first + 1_999), UnixMs(1_700_000_000_000));
        let earlier = ledger.open(1, UnixMs(1_600_000_000_000));
        assert_eq!(
            earlier,
            first + 2_000,
            "a clock that is set back changes nothing"
        );
        let later = ledger.open(1, UnixMs(1_700_000_000_001));
        assert_eq!(at(later), UnixMs(1_700_000_000_001));
    }
}
