//! One run: from the first process to the verdict.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Verdict, Violation, What, check};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::fleet::{Fleet, Size};
use crate::hand::Hand;
use crate::load::{Caller, Habits, Load};
use crate::profile::Profile;
use crate::receiver::Receiver;
use crate::recorder::{Recorder, now};
use crate::{Arguments, CLERKS, CLIENTS, Failure, WORKERS, end};

/// How many violations are printed.
const SHOWN: usize = 20;

/// Makes one run and prints what came of it; whether everything was kept.
pub(crate) async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let found = arguments.defect.and_then(Profile::that_finds);
    let profile = arguments.profile.or(found).unwrap_or(Profile::Control);
    let seed = arguments.seed.unwrap_or(now().unsigned_abs() % 1_000_000);
    let again = again(&arguments, profile, seed);
    println!("{again}");
    let file = arguments.history.clone().unwrap_or_else(|| {
        let name = format!("clerkwork-chaos-{seed}-{}.jsonl", std::process::id());
        std::env::temp_dir().join(name)
    });
    let recorder = Arc::new(Recorder::create(&file)?);
    let (needs, workers) = (profile.needs(), arguments.workers.into());
    let size = Size {
        clerks: arguments.clerks.into(),
        workers,
        commands: if needs.commands { workers } else { 0 },
    };
    let mut fleet = Fleet::start(size, needs, arguments.defect).await?;
    let mut hand = Hand {
        profile,
        size,
        dice: Dice::new(seed),
        recorder: Arc::clone(&recorder),
        recovery: Vec::new(),
    };
    let made = drive(&arguments, &mut fleet, &mut hand).await;
    for orphan in fleet.end_workers().await {
        recorder.push(orphan);
    }
    for journal in fleet.journals() {
        recorder.take_in(&journal)?;
    }
    let clerks = fleet.nodes().into_iter().map(|node| node.name).collect();
    let folder = fleet.end();
    let seconds = arguments.jobs.map_or(arguments.seconds, |_| 0);
    let rules = profile.rules(clerks, seconds, drain(&arguments, profile));
    let verdict = recorder.read(|history| check(history, &rules))?;
    recorder.keep(&verdict.violations)?;
    summarize(&verdict, &hand.recovery);
    let kept = verdict.violations.is_empty() && made.is_ok();
    if kept && arguments.history.is_none() {
        std::fs::remove_file(&file)?;
    } else if !kept {
        println!(
            "the history is in {}, what the processes wrote in {}; to run again:\n{again}",
            file.display(),
            folder.keep().display()
        );
    }
    made.map(|()| kept)
}

/// Drives the fleet until there was enough, and then until it has come to rest.
async fn drive(arguments: &Arguments, fleet: &mut Fleet, hand: &mut Hand) -> Result<(), Failure> {
    let recorder = Arc::clone(&hand.recorder);
    let receiver = Receiver::open(Arc::clone(&recorder)).await?;
    let caller = Arc::new(Caller::new(Arc::clone(&recorder), fleet.nodes())?);
    let mut dice = hand.dice.fork();
    let habits = Habits {
        spares_workers: hand.profile.spares_workers(),
        commands: hand.size.commands > 0,
    };
    let load = Load::start(arguments.clients, &caller, &receiver.url, &mut dice, habits);
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let enough = || {
        arguments.jobs.map_or_else(
            || Instant::now() >= until,
            |jobs| recorder.accepted() >= jobs,
        )
    };
    let made = hand.run(fleet, enough).await;
    load.stop().await;
    recorder.push(What::Healed);
    end::drain(&caller, drain(arguments, hand.profile)).await;
    end::read_all(&caller).await;
    made
}

/// How long after the healing the last job may end.
fn drain(arguments: &Arguments, profile: Profile) -> Duration {
    let asked = arguments.drain.map(Duration::from_secs);
    asked.unwrap_or_else(|| profile.drain())
}

/// The command that makes the same run.
fn again(arguments: &Arguments, profile: Profile, seed: u64) -> String {
    let profile = clap::ValueEnum::to_possible_value(&profile);
    let profile = profile.map(|profile| profile.get_name().to_owned());
    let mut words = format!(
        "cargo run -p clerkwork-chaos -- --profile {} --seconds {} --seed {seed}",
        profile.unwrap_or_default(),
        arguments.seconds
    );
    if let Some(jobs) = arguments.jobs {
        words.push_str(&format!(" --jobs {jobs}"));
    }
    let sizes = [
        ("clerks", arguments.clerks, CLERKS),
        ("workers", arguments.workers, WORKERS),
    ];
    for (name, size, usual) in sizes {
        if size != usual {
            words.push_str(&format!(" --{name} {size}"));
        }
    }
    if arguments.clients != CLIENTS {
        words.push_str(&format!(" --clients {}", arguments.clients));
    }
    if let Some(drain) = arguments.drain {
        words.push_str(&format!(" --drain {drain}"));
    }
    if let Some(defect) = arguments.defect {
        words.push_str(&format!(" --defect {}", defect.name()));
    }
    words
}

fn summarize(verdict: &Verdict, recovery: &[i64]) {
    let counts = &verdict.counts;
    println!(
        "calls {}: answered {}, refused {}, unknown {}; views {}",
        counts.calls, counts.ok, counts.refused, counts.unknown, counts.views
    );
    println!(
        "jobs {}, accepted {}: succeeded {}, failed {}, cancelled {}, expired {}; webhooks {}",
        counts.jobs,
        counts.accepted,
        counts.succeeded,
        counts.failed,
        counts.cancelled,
        counts.expired,
        counts.webhooks
    );
    println!(
        "runs {}, duplicates {}; faults {}; last end {} ms after the healing",
        counts.runs, counts.duplicates, counts.fired, counts.drain_ms
    );
    let mut sorted = recovery.to_vec();
    sorted.sort_unstable();
    if let (Some(median), Some(most)) = (sorted.get(sorted.len() / 2), sorted.last()) {
        println!("accepted again after {median} ms (median), {most} ms (most)");
    }
    println!("{}", kinds(&verdict.violations));
    for violation in verdict.violations.iter().take(SHOWN) {
        println!("  {violation}");
    }
    let hidden = verdict.violations.len().saturating_sub(SHOWN);
    if hidden > 0 {
        println!("  and {hidden} more, which are at the end of the history");
    }
}

/// How many violations there are of each kind: `violations 5: Lost 2, Drain 3`.
fn kinds(violations: &[Violation]) -> String {
    // They come in the order of their rules.
    let kinds = violations.chunk_by(|one, other| one.rule == other.rule);
    let kinds: Vec<_> = kinds
        .map(|kind| format!("{} {}", kind[0].rule, kind.len()))
        .collect();
    let colon = if kinds.is_empty() { "" } else { ": " };
    format!("violations {}{colon}{}", violations.len(), kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use clerkwork_checker::Rule;

    use super::*;

    #[test]
    fn violations_are_counted_by_their_kinds() {
        let violation = |rule| Violation {
            rule,
            job: "j".to_owned(),
            what: "is wrong".to_owned(),
        };
        assert_eq!(kinds(&[]), "violations 0");
        let some = [Rule::Lost, Rule::Lost, Rule::Drain].map(violation);
        assert_eq!(kinds(&some), "violations 3: Lost 2, Drain 1");
    }
}
