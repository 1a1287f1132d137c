//! Two profiles of the chaos command, for a minute each: which ones and how, the seed of the run of tests says.

use std::process::Stdio;
use std::time::Duration;

use clerkwork_tests::{chaos, own, seed};
use tokio::process::Command;
use tokio::time::timeout;

/// Those that need nothing but the servers, and end soon after their healing.
const PROFILES: [&str; 17] = [
    "kill-clerks",
    "postgres-read-only",
    "cuts",
    "kill-broker",
    "duplicates",
    "terminate-backends",
    "pauses",
    "kill-workers",
    "storm",
    "memory-alarm",
    "rolling-restart",
    "queue-deleted",
    "mix",
    "kill-postgres",
    "forged-replies",
    "broker-data-lost",
    "few-channels",
];
/// How long a run may take: the servers' start, a minute of faults, the drain, and the reading of all jobs.
const LIMIT: Duration = Duration::from_secs(420);

#[tokio::test]
async fn a_minute_of_the_first_profile_drawn_breaks_no_promise() {
    run(0).await;
}

#[tokio::test]
async fn a_minute_of_the_second_profile_drawn_breaks_no_promise() {
    run(PROFILES.len() / 2).await;
}

async fn run(place: usize) {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let seed = seed();
    let turn = usize::try_from(seed).unwrap() + place;
    let mut command = Command::new(chaos());
    command
        .args(["--profile", PROFILES[turn % PROFILES.len()]])
        .args(["--seconds", "60", "--drain", "180"])
        .args(["--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await;
    let output = output.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    // The verdict is last, where a log that was cut short still has it.
    assert!(output.status.success(), "{complaints}\n{said}");
    eprintln!("{said}");
}
