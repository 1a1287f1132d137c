//! Drives a fleet of its own, RabbitMQ, PostgreSQL, clerks and workers as real processes, injects faults, heals them, and checks
//! what was seen of it.
//!
//! ```sh
//! cargo run -p clerkwork-chaos -- --profile kill-clerks --seconds 60 --seed 7
//! ```
#![expect(clippy::print_stdout, reason = "the summary is what it is for")]

mod command;
mod dice;
mod end;
mod faults;
mod fleet;
mod hand;
mod journal;
mod load;
mod orphans;
mod profile;
mod receiver;
mod recorder;
mod rig;
mod run;
mod stranger;
mod task;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use clerkwork_faults::Defect;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use profile::Profile;

/// Why a run could not be made.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many clerks, workers and clients there are unless told.
const CLERKS: u8 = 3;
const WORKERS: u8 = 2;
const CLIENTS: usize = 12;

/// Injects faults into a fleet of its own and checks what was seen of it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Which faults; unless set, none, or those that find the defect.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// How long faults and load last.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Goes on until so many jobs are accepted, however long that takes.
    #[arg(long)]
    jobs: Option<u64>,
    /// What the dice start from; unless set, the time.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clerks.
    #[arg(long, default_value_t = CLERKS, value_parser = clap::value_parser!(u8).range(1..=9))]
    clerks: u8,
    /// How many workers.
    #[arg(long, default_value_t = WORKERS, value_parser = clap::value_parser!(u8).range(1..=9))]
    workers: u8,
    /// How many clients.
    #[arg(long, default_value_t = CLIENTS)]
    clients: usize,
    /// How many seconds after the healing the last job may end; unless set, what the faults give cause for.
    #[arg(long, value_name = "SECONDS")]
    drain: Option<u64>,
    /// Keeps the history in this file; a run that fails keeps it in any case.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Plants a defect in every process, which must turn the run red.
    #[arg(long, value_name = "NAME", value_parser = defect)]
    defect: Option<Defect>,
}

/// What one process of a run does.
#[derive(Debug, Subcommand)]
enum Part {
    /// Works as a worker of a run.
    #[command(hide = true)]
    Worker,
    /// Runs one job as the command of a worker.
    #[command(hide = true)]
    Command,
}

fn defect(name: &str) -> Result<Defect, String> {
    name.parse::<Defect>()
        .map_err(|unknown| unknown.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Command) = arguments.part {
        return command::run().unwrap_or_else(|failure| fail(&failure));
    }
    let ended = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            match arguments.part {
                Some(Part::Worker) => worker::work().await.map(|()| true),
                _ => interruptible(arguments).await,
            }
        }),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    println!("error: {failure}");
    ExitCode::from(2)
}

/// Runs until the end or until a signal comes; what was started is dropped, and with that killed, in either case.
async fn interruptible(arguments: Arguments) -> Result<bool, Failure> {
    built()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = run::run(arguments) => ended,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("told to end".into()),
    }
}

/// Builds the one binary that is to lie beside this one: always under `cargo run`, so that it is not an old one.
fn built() -> Result<(), Failure> {
    let here = std::env::current_exe()?;
    let by_cargo = std::env::var_os("CARGO").is_some();
    if !by_cargo && here.with_file_name("clerkwork").exists() {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args(["build", "--package", "clerkwork", "--bin", "clerkwork"]);
    let folder = here.parent().and_then(Path::file_name);
    // Cargo's folder for the profile `dev` is `debug`; the others are called as they are.
    if let Some(profile) = folder.filter(|name| *name != "debug") {
        command.arg("--profile").arg(profile);
    }
    let status = command
        .current_dir(clerkwork_tests::repository())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("the binary clerkwork could not be built".into())
    }
}
