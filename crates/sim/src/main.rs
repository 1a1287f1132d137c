//! `clerkwork-sim`: runs seeds, and one seed again with its trace.

use std::io::{self, Write as _};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use clerkwork_faults::Defect;
use clerkwork_sim::{Kind, Report, run};

/// No seed takes so long, as people's clocks measure it: one that does hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs whole fleets under simulated time and seeded faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them; drawn and printed if unset.
    #[arg(long)]
    from: Option<u64>,
    /// Runs this seed alone and prints its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs of this kind alone; unset, each seed draws one.
    #[arg(long)]
    kind: Option<Kind>,
    /// Plants this defect: seeds must fail then. Only where debug assertions are on.
    #[arg(long)]
    defect: Option<Defect>,
    /// How many seeds to run at a time.
    #[arg(long)]
    threads: Option<usize>,
    /// Ends at the first seed that fails.
    #[arg(long)]
    first: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.defect.is_some() && !clerkwork_faults::ARMED {
        eprintln!("this build has no defects: build it with --profile checked");
        return ExitCode::from(2);
    }
    clerkwork_faults::plant(arguments.defect);
    let done = match arguments.seed {
        Some(seed) => replay(seed, arguments.kind),
        None => many(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Runs one seed and prints all of it.
fn replay(seed: u64, kind: Option<Kind>) -> io::Result<bool> {
    let report = run(seed, kind, true)?;
    let mut out = io::stdout().lock();
    for line in report.trace.lines() {
        writeln!(out, "{line}")?;
    }
    say(&mut out, &report)?;
    Ok(report.wrong.is_empty())
}

fn say(out: &mut impl io::Write, report: &Report) -> io::Result<()> {
    let Report {
        seed,
        kind,
        wrong,
        counts,
        trace,
        lasted,
    } = report;
    writeln!(
        out,
        "seed {seed} ({kind}): {} jobs, {} runs, {} steps in {:.1} s, trace {:016x}",
        counts.jobs,
        counts.runs,
        trace.steps(),
        lasted.as_secs_f64(),
        trace.sum()
    )?;
    for wrong in wrong {
        writeln!(out, "  {wrong}")?;
    }
    Ok(())
}

/// Runs many seeds, and prints those that fail.
fn many(arguments: &Arguments) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let from = arguments
        .from
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let seeds = arguments.seeds;
    writeln!(out, "{seeds} seeds from {from}")?;
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or_else(cores).max(1);
    let next = AtomicU64::new(from);
    let end = from.saturating_add(seeds);
    let begun = Instant::now();
    let (mut failed, mut jobs, mut runs, mut ran) = (0u64, 0, 0, 0u64);
    let under_way: Vec<_> = (0..threads).map(|_| AtomicU64::new(from)).collect();
    thread::scope(|scope| {
        let (reports, came) = mpsc::sync_channel(threads);
        for under_way in &under_way {
            let (reports, next) = (reports.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    under_way.store(seed, Ordering::Relaxed);
                    if seed >= end || reports.send(run(seed, arguments.kind, false)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(reports);
        while let Some(report) = next_report(&came, &under_way) {
            let report = report?;
            ran += 1;
            jobs += report.counts.jobs;
            runs += report.counts.runs;
            if !report.wrong.is_empty() {
                failed += 1;
                say(&mut out, &report)?;
                if arguments.first {
                    next.store(end, Ordering::Relaxed);
                }
            }
        }
        Ok::<(), io::Error>(())
    })?;
    writeln!(
        out,
        "{ran} seeds in {:.1} s: {jobs} jobs, {runs} runs; {failed} failed",
        begun.elapsed().as_secs_f64()
    )?;
    Ok(failed == 0)
}

/// The next report that comes; `None` at the end. A seed that hangs ends the program, for nothing ends the seed.
fn next_report<T>(came: &Receiver<T>, under_way: &[AtomicU64]) -> Option<T> {
    match came.recv_timeout(PATIENCE) {
        Ok(report) => Some(report),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => {
            let seeds: Vec<_> = under_way
                .iter()
                .map(|seed| seed.load(Ordering::Relaxed))
                .collect();
            let limit = PATIENCE.as_secs();
            eprintln!("no seed has ended for {limit} s; under way were {seeds:?}");
            process::exit(1);
        }
    }
}
