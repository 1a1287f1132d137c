//! The plan of a run: how large it is, what goes wrong in it, and what may be asked of it all the same.

use std::str::FromStr;
use std::time::Duration;

use clerkwork_checker::Rules;

use crate::dice;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A clerk is killed.
    ClerkCrash,
    /// What a clerk sends becomes slow, and it is killed while some of it is on its way.
    ClerkFade,
    /// A clerk is told to end, and started again.
    ClerkDrain,
    /// A worker is killed.
    WorkerCrash,
    /// A worker is told to end, and started again.
    WorkerDrain,
    /// A clerk loses its connections to the broker for a while.
    ClerkCut,
    /// A worker does.
    WorkerCut,
    /// Everybody does: the broker is away.
    Outage,
    /// The broker takes no publishes.
    Blocked,
    /// The broker loses all that it has.
    Fire,
    /// The broker drops what waits on the queues of jobs, and tells nobody.
    Purge,
    /// The broker refuses half of what is published.
    Refusals,
    /// Publishes are refused, cut off, slow; acknowledgements are lost.
    PostSick,
    /// Hints are lost and doubled.
    HintsSick,
    /// The store is away, for one clerk or for all.
    StoreAway,
    /// The store fails now and then, before or after it has done what was asked.
    StoreSick,
    /// A clerk's clock jumps.
    ClockStep,
    /// A stranger answers jobs without knowing the seal.
    Forger,
}

/// A kind of run: what may go wrong in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(usize);

/// There is no kind of run of this name.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the kinds of runs are {}", KINDS.map(|(name, _)| name).join(", "))]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let at = KINDS.iter().position(|(known, _)| *known == name);
        at.map(Self).ok_or(UnknownKind)
    }
}

impl Kind {
    /// Half of all runs are storms, in which anything may meet anything.
    fn draw() -> Self {
        Self(dice::place(KINDS.len() + 4).min(KINDS.len() - 1))
    }
}

/// What a run is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its name, for people.
    pub(crate) kind: &'static str,
    pub(crate) clerks: usize,
    pub(crate) workers: usize,
    pub(crate) jobs: u64,
    /// How long jobs are submitted and faults injected.
    pub(crate) span: Duration,
    /// How much of everything goes wrong, and when.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// Whether an attempt may be lost, which counts as its failure.
    pub(crate) may_fail: bool,
    /// By how much clocks jump at most.
    pub(crate) jump_ms: i64,
}

/// The kinds of runs: what goes wrong in each.
const KINDS: [(&str, &[Fault]); 9] = [
    ("calm", &[]),
    (
        "network",
        &[
            Fault::ClerkCut,
            Fault::WorkerCut,
            Fault::PostSick,
            Fault::PostSick,
            Fault::HintsSick,
            Fault::Blocked,
            Fault::Forger,
        ],
    ),
    ("deaf", &[Fault::Outage, Fault::ClerkCut]),
    ("store", &[Fault::StoreAway, Fault::StoreSick]),
    (
        "clerks",
        &[
            Fault::ClerkCrash,
            Fault::ClerkFade,
            Fault::ClerkDrain,
            Fault::PostSick,
        ],
    ),
    (
        "workers",
        &[Fault::WorkerCrash, Fault::WorkerDrain, Fault::PostSick],
    ),
    ("fire", &[Fault::Fire, Fault::PostSick]),
    ("purge", &[Fault::Purge, Fault::Refusals]),
    (
        "storm",
        &[
            Fault::ClerkCrash,
            Fault::ClerkFade,
            Fault::ClerkDrain,
            Fault::WorkerCrash,
            Fault::WorkerDrain,
            Fault::ClerkCut,
            Fault::WorkerCut,
            Fault::Outage,
            Fault::Blocked,
            Fault::Fire,
            Fault::PostSick,
            Fault::HintsSick,
            Fault::StoreAway,
            Fault::StoreSick,
            Fault::ClockStep,
            Fault::Forger,
        ],
    ),
];

impl Plan {
    /// Draws a plan, of this kind if one is named.
    pub(crate) fn draw(kind: Option<Kind>) -> Self {
        let drawn = Kind::draw();
        let (kind, sorts) = KINDS[kind.unwrap_or(drawn).0];
        let span = dice::millis(6_000..20_000);
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let count = match sorts.len() {
            0 => 0,
            _ => dice::number(1..8),
        };
        let mut faults = Vec::new();
        for _ in 0..count {
            let sort = sorts[dice::place(sorts.len())];
            faults.push((dice::millis(0..span_ms), sort));
        }
        let is = |wanted: &[Fault]| faults.iter().any(|(_, fault)| wanted.contains(fault));
        // A worker that must end does not wait for a broker beyond its grace: what it could not answer is lost.
        let cut_off = is(&[Fault::WorkerDrain]) && is(&[Fault::Blocked, Fault::Outage]);
        let may_fail = cut_off
            || is(&[
                Fault::WorkerCrash,
                Fault::WorkerCut,
                Fault::HintsSick,
                Fault::Fire,
                Fault::PostSick,
                Fault::ClockStep,
            ]);
        let jumps = is(&[Fault::ClockStep]);
        Self {
            kind,
            clerks: 2 + dice::place(2),
            workers: 2 + dice::place(2),
            jobs: dice::number(15..45),
            span,
            may_fail,
            jump_ms: if jumps { 15_000 } else { 0 },
            faults,
        }
    }

    pub(crate) fn span_ms(&self) -> u64 {
        u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX)
    }

    /// What is asked of a run of this plan, read from these clerks at its end.
    pub(crate) fn rules(&self, clerks: Vec<String>) -> Rules {
        let calm = self.faults.is_empty();
        // What a broker that lost all held is missed by a check that comes once a minute; all else is
        // noticed by whoever was there, or when a lease of 45 s ends; a run of 20 s may follow.
        // What was purged is found by the same check: it is given a look within two minutes, its queue must be seen empty
        // for one, and may then be a moment short of that until the next look.
        let has = |wanted: Fault| self.faults.iter().any(|(_, fault)| *fault == wanted);
        let drain_s = match (has(Fault::Purge), has(Fault::Fire)) {
            (true, _) => 270,
            (false, true) => 180,
            (false, false) => 70,
        };
        Rules {
            clerks,
            once: calm,
            cancel_grace_ms: calm.then_some(2_000),
            // What is due is decided by a clerk's clock, which a step puts out of order until the store
            // sets it right.
            early_ms: 500 + 2 * self.jump_ms,
            // A start that was granted counts as made. Where that is lost it is made anew when its lease ends,
            // which is three times 15 s at most.
            late_ms: if calm { 1_000 } else { 50_000 } + 2 * self.jump_ms,
            drain_ms: Some(drain_s * 1_000),
            webhooks: false,
            least_accepted: 1,
            least_faults: 0,
        }
    }
}
