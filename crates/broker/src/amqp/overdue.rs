//! Notices that a confirm does not come.

use std::collections::VecDeque;

/// How long a confirm may take, in seconds during which the broker took publishes.
const CONFIRM_LIMIT: usize = 30;

/// Counts what is in flight by the second in which it left.
#[derive(Debug)]
pub(super) struct Overdue {
    /// The second of the first count.
    oldest: u64,
    counts: VecDeque<usize>,
}

impl Default for Overdue {
    fn default() -> Self {
        Self {
            oldest: 0,
            counts: VecDeque::from([0]),
        }
    }
}

impl Overdue {
    /// A message leaves; the answer is to be given back when it arrives.
    pub(super) fn depart(&mut self) -> u64 {
        if let Some(newest) = self.counts.back_mut() {
            *newest += 1;
        }
        self.oldest + self.counts.len().saturating_sub(1) as u64
    }

    /// The message that left then has its answer.
    pub(super) fn arrive(&mut self, second: u64) {
        let index = second
            .checked_sub(self.oldest)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(count) = index.and_then(|index| self.counts.get_mut(index)) {
            *count = count.saturating_sub(1);
        }
    }

    /// A second has passed; whether a message has waited for too long.
    pub(super) fn second(&mut self) -> bool {
        self.counts.push_back(0);
        if self.counts.len() <= CONFIRM_LIMIT {
            return false;
        }
        self.oldest += 1;
        self.counts.pop_front().is_some_and(|left| left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_without_an_answer_for_thirty_seconds_is_overdue() {
        let mut overdue = Overdue::default();
        let early = overdue.depart();
        for second in 1..CONFIRM_LIMIT {
            assert!(!overdue.second(), "{second}");
        }
        overdue.arrive(early);
        overdue.depart();
        let waits: Vec<bool> = (0..CONFIRM_LIMIT).map(|_| overdue.second()).collect();
        assert_eq!(waits.iter().position(|late| *late), Some(CONFIRM_LIMIT - 1));
    }
}
