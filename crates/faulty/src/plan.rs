//! Which calls go wrong, and how.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A plan as `SEED:RATE`: of the calls of each kind, the share RATE goes wrong.
///
/// The n-th call of a kind has the same fate under the same seed, however calls of different kinds come
/// between each other.
#[derive(Clone, Debug)]
pub struct Plan(Arc<Drawn>);

#[derive(Debug)]
struct Drawn {
    seed: u64,
    rate: f64,
    care: Care,
    begun: AtomicBool,
    fired: AtomicU64,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

/// What a plan spares, for callers to whom not everything may happen.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// Calls of these kinds are late at most.
    pub spared: &'static [&'static str],
    /// Whoever makes calls of these kinds is told when they are done.
    pub told: &'static [&'static str],
    /// Writers and recorders outlive a fault.
    pub sessions_last: bool,
    /// The longest that a call waits on each of its ways.
    pub wait: Duration,
}

impl Default for Care {
    /// Nothing is spared, and calls are late by what others notice and no deadline minds.
    fn default() -> Self {
        Self {
            spared: &[],
            told: &[],
            sessions_last: false,
            wait: Duration::from_millis(400),
        }
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is made.
    Made,
    /// It is made between two waits.
    Late(Duration, Duration),
    /// It is not made, and the caller is told so.
    Undone,
    /// It is not made, and the caller is told nothing.
    Lost,
    /// It is made, and the caller is told nothing.
    Untold,
}

/// A text that is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not SEED:RATE, a number and a share from 0 to 1")]
pub struct NoPlan(String);

impl Plan {
    /// A plan, under which nothing goes wrong before it is [begun](Plan::begin).
    #[must_use]
    pub fn new(seed: u64, rate: f64) -> Self {
        Self::with(seed, rate, Care::default())
    }

    /// The same, with care.
    #[must_use]
    pub fn with(seed: u64, rate: f64, care: Care) -> Self {
        Self(Arc::new(Drawn {
            seed,
            rate,
            care,
            begun: AtomicBool::new(false),
            fired: AtomicU64::new(0),
            calls: Mutex::default(),
        }))
    }

    /// From now on calls go wrong.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// How many calls went wrong so far.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.0.fired.load(Ordering::Relaxed)
    }

    /// What is spared.
    pub(crate) fn care(&self) -> &Care {
        &self.0.care
    }

    /// Whether a channel is lost over the next call of this kind. That happens to one in ten of the calls
    /// that go wrong: who loses a channel all the time hears nothing for long enough to act on silence.
    pub(crate) fn loses(&self, what: &'static str) -> bool {
        let spared = self.care().spared.contains(&what);
        let mut dice = if spared { None } else { self.wrong(what) };
        dice.as_mut()
            .is_some_and(|dice| dice.random_range(0..10) == 0)
    }

    /// The dice of the next call of this kind, if it goes wrong.
    fn wrong(&self, what: &'static str) -> Option<StdRng> {
        if !self.0.begun.load(Ordering::Relaxed) {
            return None;
        }
        let number = {
            let calls = self.0.calls.lock();
            let mut calls = calls.unwrap_or_else(PoisonError::into_inner);
            let number = calls.entry(what).or_default();
            *number += 1;
            *number
        };
        let mut dice = StdRng::seed_from_u64(mixed(self.0.seed, what, number));
        let wrong = dice.random::<f64>() < self.0.rate;
        wrong.then(|| {
            self.0.fired.fetch_add(1, Ordering::Relaxed);
            dice
        })
    }

    /// What becomes of the next call of this kind.
    pub(crate) fn fate(&self, what: &'static str) -> Fate {
        let Some(mut dice) = self.wrong(what) else {
            return Fate::Made;
        };
        let care = self.care();
        let (there, back) = (dice.random::<f64>(), dice.random::<f64>());
        let late = Fate::Late(care.wait.mul_f64(there), care.wait.mul_f64(back));
        let fate = match dice.random_range(0..8) {
            _ if care.spared.contains(&what) => late,
            0..3 if !care.told.contains(&what) => Fate::Untold,
            3..5 => Fate::Undone,
            5 => Fate::Lost,
            _ => late,
        };
        tracing::info!(what, ?fate, "a planned fault");
        fate
    }
}

/// One number for each call of each kind under each seed.
fn mixed(seed: u64, what: &str, number: u64) -> u64 {
    let words = what.bytes().chain(number.to_le_bytes());
    words.fold(seed ^ 0xcbf2_9ce4_8422_2325, |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl FromStr for Plan {
    type Err = NoPlan;

    fn from_str(text: &str) -> Result<Self, NoPlan> {
        let read = || {
            let (seed, rate) = text.split_once(':')?;
            let rate: f64 = rate.parse().ok()?;
            let plan = Self::new(seed.parse().ok()?, rate);
            (0.0..=1.0).contains(&rate).then_some(plan)
        };
        read().ok_or_else(|| NoPlan(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(text: &str, what: &'static str) -> Vec<Fate> {
        let plan: Plan = text.parse().unwrap();
        plan.begin();
        (0..2_000).map(|_| plan.fate(what)).collect()
    }

    #[test]
    fn a_seed_has_the_same_faults_again_and_another_seed_has_others() {
        assert_eq!(fates("7:0.1", "get"), fates("7:0.1", "get"));
        assert_ne!(fates("7:0.1", "get"), fates("8:0.1", "get"));
        assert_ne!(fates("7:0.1", "get"), fates("7:0.1", "apply"));
    }

    #[test]
    fn about_the_share_of_the_calls_that_was_asked_for_goes_wrong_in_every_way() {
        let fates = fates("3:0.1", "get");
        let wrong: Vec<_> = fates.iter().filter(|fate| **fate != Fate::Made).collect();
        assert!((150..250).contains(&wrong.len()), "{}", wrong.len());
        for fate in [Fate::Undone, Fate::Lost, Fate::Untold] {
            assert!(wrong.contains(&&fate), "{fate:?}");
        }
        assert!(wrong.iter().any(|fate| matches!(fate, Fate::Late(..))));
    }

    #[test]
    fn nothing_goes_wrong_before_the_plan_begins() {
        let plan = Plan::new(1, 1.0);
        assert_eq!(plan.fate("get"), Fate::Made);
        plan.begin();
        assert_ne!(plan.fate("get"), Fate::Made);
        assert_eq!(plan.fired(), 1);
    }

    #[test]
    fn what_is_no_plan_is_named() {
        for text in ["", "7", "7:", ":0.1", "7:1.5", "7:-0.1", "7:nan", "x:0.1"] {
            let refused = text.parse::<Plan>().unwrap_err();
            assert!(refused.to_string().contains("SEED:RATE"), "{refused}");
        }
    }
}
