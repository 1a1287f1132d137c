//! Unfinished jobs by what they are counted by, as far as can be known between two counts.

use std::collections::HashMap;
use std::hash::Hash;

/// What each has that is not done, and the most that it may have.
#[derive(Debug)]
pub(super) struct Tallies<K> {
    most: Option<u64>,
    all: HashMap<K, Tally>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    unfinished: u64,
    /// How many of these nobody has answered yet: a count need not see them.
    unanswered: u64,
    /// How many of these the count under way may not see.
    unseen: u64,
}

impl<K: Clone + Eq + Hash> Tallies<K> {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self {
            most,
            all: HashMap::new(),
        }
    }

    /// The most that each may have, where there are more already or would be with so many more.
    pub(super) fn exceeded(&self, key: &K, jobs: u64) -> Option<u64> {
        let unfinished = self.all.get(key).map_or(0, |tally| tally.unfinished);
        self.most.filter(|most| unfinished + jobs > *most)
    }

    /// So many more are asked for.
    pub(super) fn take(&mut self, key: &K, jobs: u64) {
        if self.most.is_some() {
            let tally = self.all.entry(key.clone()).or_default();
            tally.unfinished += jobs;
            tally.unanswered += jobs;
            tally.unseen += jobs;
        }
    }

    /// So many that were asked for are there, or are not.
    pub(super) fn answered(&mut self, key: &K, jobs: u64, accepted: bool) {
        let Some(tally) = self.all.get_mut(key) else {
            return;
        };
        tally.unanswered = tally.unanswered.saturating_sub(jobs);
        if !accepted {
            tally.unfinished = tally.unfinished.saturating_sub(jobs);
            tally.unseen = tally.unseen.saturating_sub(jobs);
        }
    }

    /// One is done.
    pub(super) fn done(&mut self, key: &K) {
        if let Some(tally) = self.all.get_mut(key) {
            tally.unfinished = tally.unfinished.saturating_sub(1);
        }
    }

    /// A count begins; whether there is anything to count.
    pub(super) fn begin(&mut self) -> bool {
        for tally in self.all.values_mut() {
            tally.unseen = tally.unanswered;
        }
        self.most.is_some()
    }

    /// The count is there. What it may not have seen is added, so that too few are let in for a moment
    /// rather than too many.
    pub(super) fn counted(&mut self, counted: impl Iterator<Item = (K, u64)>) {
        for tally in self.all.values_mut() {
            tally.unfinished = tally.unseen;
        }
        for (key, jobs) in counted {
            self.all.entry(key).or_default().unfinished += jobs;
        }
        self.all
            .retain(|_, tally| tally.unfinished > 0 || tally.unanswered > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies() -> Tallies<&'static str> {
        Tallies::new(Some(3))
    }

    #[test]
    fn what_came_to_nothing_is_given_back_and_what_is_done_makes_room() {
        let mut tallies = tallies();
        tallies.take(&"q", 3);
        assert_eq!(tallies.exceeded(&"q", 1), Some(3));
        assert_eq!(tallies.exceeded(&"other", 3), None);
        tallies.answered(&"q", 1, false);
        tallies.answered(&"q", 2, true);
        assert_eq!(tallies.exceeded(&"q", 1), None);
        assert_eq!(tallies.exceeded(&"q", 2), Some(3));
        tallies.done(&"q");
        assert_eq!(tallies.exceeded(&"q", 2), None);
        for _ in 0..5 {
            tallies.done(&"q");
        }
        assert_eq!(tallies.exceeded(&"q", 4), Some(3), "never less than none");
    }

    #[test]
    fn a_count_forgets_nobody_who_was_let_in_and_is_not_there_yet() {
        let mut tallies = tallies();
        tallies.take(&"q", 1);
        assert!(tallies.begin());
        tallies.take(&"q", 1);
        tallies.answered(&"q", 1, true);
        // It saw neither.
        tallies.counted([("gone", 0)].into_iter());
        assert_eq!(tallies.exceeded(&"q", 2), Some(3));
        assert_eq!(tallies.exceeded(&"q", 1), None);
        tallies.answered(&"q", 1, true);
        tallies.begin();
        tallies.counted([("q", 2)].into_iter());
        assert_eq!(tallies.exceeded(&"q", 2), Some(3));
        tallies.begin();
        tallies.counted(std::iter::empty());
        assert!(tallies.all.is_empty());
    }

    #[test]
    fn without_a_most_nothing_is_remembered() {
        let mut tallies = Tallies::new(None);
        tallies.take(&"q", 1_000);
        assert_eq!(tallies.exceeded(&"q", 1_000), None);
        assert!(!tallies.begin());
        assert!(tallies.all.is_empty());
    }
}
