//! One run: a seed, and what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Counts, check};
use clerkwork_core::chance;
use clerkwork_store::sqlite;
use tokio::task::JoinSet;

use crate::at_once::at_once;
use crate::client::Clients;
use crate::dice;
use crate::fleet::Fleet;
use crate::hand;
use crate::plan::{Kind, Plan};
use crate::script::Script;
use crate::trace::Trace;
use crate::world::World;

/// How long after all is whole again jobs are looked at until they have ended.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed, which gives the same run again.
    pub seed: u64,
    /// What kind of run it was.
    pub kind: &'static str,
    /// What was not as it should be; empty if all was well.
    pub wrong: Vec<String>,
    /// How much there was of everything.
    pub counts: Counts,
    /// What happened.
    pub trace: Trace,
    /// How much time passed in it.
    pub lasted: Duration,
}

/// Runs a seed, whatever kind it draws or of this one; with `keep` its trace is kept in words.
///
/// # Errors
/// The machine has no memory for a database, or no thread for it.
pub fn run(seed: u64, kind: Option<Kind>, keep: bool) -> Result<Report, std::io::Error> {
    chance::seed(Some(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let report = runtime.block_on(play(seed, kind, keep));
    drop(runtime);
    chance::seed(None);
    report.map_err(std::io::Error::other)
}

async fn play(seed: u64, kind: Option<Kind>, keep: bool) -> Result<Report, clerkwork_store::Error> {
    let begun = tokio::time::Instant::now();
    let world = World::begin(keep);
    let plan = Plan::draw(kind);
    world.note(format_args!("{plan:?}"));
    let store = at_once(sqlite::memory_refusing())?;
    let fleet = Fleet::new(&world, store, plan.clerks, plan.workers);
    fleet.make_odd().await;
    for at in 0..plan.clerks {
        fleet.start_clerk(at).await;
    }
    for at in 0..plan.workers {
        fleet.start_worker(at);
    }
    let clients = Clients::new(fleet.clone());
    let mut scripts = JoinSet::new();
    for number in 0..plan.jobs {
        let script = Script::draw(number, &plan);
        scripts.spawn(script.play(clients.clone()));
    }
    hand::inject(&fleet, &plan).await;
    while scripts.join_next().await.is_some() {}
    finish(&clients).await;
    let alive = fleet.clerks.iter().filter(|clerk| clerk.is_alive());
    let rules = plan.rules(alive.map(|clerk| clerk.name.to_string()).collect());
    let verdict = check(&world.history(), &rules);
    let mut wrong = world.faults();
    wrong.extend(verdict.violations.iter().map(ToString::to_string));
    Ok(Report {
        seed,
        kind: plan.kind,
        wrong,
        counts: verdict.counts,
        trace: world.trace(),
        lasted: begun.elapsed(),
    })
}

/// Looks at all jobs until they have ended, then at each from every clerk.
async fn finish(clients: &Clients) {
    let fleet: &Arc<Fleet> = &clients.fleet;
    let alive: Vec<usize> = (0..fleet.clerks.len())
        .filter(|at| fleet.clerks[*at].is_alive())
        .collect();
    let Some(first) = alive.first().copied() else {
        return fleet.world.wrong("no clerk lives".to_owned());
    };
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        clients.list(first).await;
        let unfinished = unfinished(fleet);
        if unfinished.is_empty() && begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        dice::pass(Duration::from_secs(2)).await;
    }
    let jobs: BTreeSet<String> = fleet.world.history().jobs().map(str::to_owned).collect();
    for job in jobs {
        for clerk in &alive {
            clients.read_last(*clerk, &job).await;
        }
    }
}

fn unfinished(fleet: &Fleet) -> Vec<String> {
    let history = fleet.world.history();
    let jobs = history.jobs().filter(|job| !history.has_ended(job));
    jobs.map(str::to_owned).collect()
}
