//! A command owns nothing when it ends: what it started is gone, however it or its worker went.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Journal, Kind, Plan, Process, Signal, System, clerkwork, eventually};
use serde_json::{Value, json};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// A plan whose working folders lie in a folder of their own.
fn plan_with_folders() -> (Plan, PathBuf) {
    let plan = Kind::Embedded.plan();
    let folders = plan.file("folders");
    std::fs::create_dir(&folders).unwrap();
    (plan.variable("TMPDIR", folders.clone()), folders)
}

/// Shell words that start a process which leaves group and session, and write down its id.
fn leaves(journal: &Journal) -> String {
    format!("setsid sleep 3011 & {}", journal.write("$!"))
}

fn is_gone(pid: &str) -> bool {
    !Path::new(&format!("/proc/{}/cwd", pid.trim())).exists()
}

/// The output of a job, as text.
async fn output(system: &System, queue: &str, input: Value) -> String {
    let api = system.api();
    let job = api.run(queue, input).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    let (_, output) = api.bytes(&format!("/jobs/{}/output", job.id)).await;
    String::from_utf8(output.to_vec()).unwrap()
}

/// Waits until this many processes were written down and are gone.
async fn all_gone(journal: &Journal, count: usize) {
    eventually("all that was started is gone", LIMIT, async || {
        let pids = journal.lines();
        (pids.len() == count && pids.iter().all(|pid| is_gone(pid))).then_some(())
    })
    .await;
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn what_left_its_session_ends_with_its_command() {
    let (plan, folders) = plan_with_folders();
    let journal = plan.journal("pids");
    let leaves = leaves(&journal);
    let system = plan
        .shell("done", 1, &format!("{leaves}; echo ok"))
        .shell("long", 2, &format!("{leaves}; sleep 3012"))
        .worker_setting("kill-grace", "200ms")
        .start()
        .await;
    let api = system.api();
    let job = api.run("done", json!(1)).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    all_gone(&journal, 1).await;
    let slow = json!({"queue": "long", "input": 1, "timeout_s": 1, "max_attempts": 1});
    let (slow, stopped) = (api.submit(&slow).await, api.send("long", json!(1)).await);
    eventually("both run", LIMIT, async || {
        (journal.lines().len() == 3).then_some(())
    })
    .await;
    api.cancel(stopped.id).await;
    assert_eq!(api.ended(&slow).await.status, Status::Failed);
    assert_eq!(api.ended(&stopped).await.status, Status::Cancelled);
    all_gone(&journal, 3).await;
    assert!(is_empty(&folders), "working folders are left");
}

#[tokio::test]
async fn a_worker_that_ends_at_once_leaves_no_process_and_no_folder() {
    for signals in [&[Signal::SIGTERM, Signal::SIGTERM][..], &[Signal::SIGKILL]] {
        let (plan, folders) = plan_with_folders();
        let journal = plan.journal("pids");
        let script = format!("touch file; {}; sleep 3012", leaves(&journal));
        let mut system = plan.shell("long", 1, &script).start().await;
        system.api().send("long", json!(1)).await;
        eventually("it runs", LIMIT, async || {
            (journal.lines().len() == 1).then_some(())
        })
        .await;
        let process = &mut system.clerks[0].process;
        for (at, signal) in signals.iter().enumerate() {
            if at > 0 {
                // Two signals at the same time would be one.
                eventually("it drains", LIMIT, async || {
                    process.complaints().contains("draining").then_some(())
                })
                .await;
            }
            process.signal(*signal);
        }
        process.ended_within(LIMIT).await;
        all_gone(&journal, 1).await;
        eventually("the folder is gone", LIMIT, async || {
            is_empty(&folders).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_input_is_there_whole_before_the_command_starts() {
    let plan = Kind::Embedded.plan();
    let system = plan
        .command("size", 2, &["stat", "-L", "-c", "%s", "/dev/stdin"])
        .start()
        .await;
    for letters in [8, 2_000_000] {
        let input = json!("x".repeat(letters));
        let job = system.api().run("size", input).await;
        let size = letters + 2;
        assert_eq!(job.output.unwrap().get(), size.to_string());
    }
}

#[tokio::test]
async fn a_command_is_sent_sigterm_and_dies_of_it_as_any_process() {
    let plan = Kind::Embedded.plan().worker_setting("kill-grace", "1h");
    // Programs that neither handle signals nor look at what they inherited.
    let system = plan
        .command("signals", 1, &["grep", "^Sig[BI]", "/proc/self/status"])
        .command("sleeps", 1, &["sleep", "3600"])
        .start()
        .await;
    let api = system.api();
    let job = api.run("signals", json!(1)).await;
    let (_, signals) = api.output(job.id).await;
    let signals = String::from_utf8(signals).unwrap();
    assert!(signals.contains("SigBlk:\t0000000000000000"), "{signals}");
    let ignored = signals.split_once("SigIgn:\t").unwrap().1.trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored >> (Signal::SIGPIPE as u32 - 1) & 1, 0, "{signals}");

    let job = api.send("sleeps", json!(1)).await;
    eventually("it runs", Duration::from_secs(60), async || {
        (api.job(job.id).await.status == Status::Running).then_some(())
    })
    .await;
    api.cancel(job.id).await;
    let job = api.ended_within(&job, Duration::from_secs(60)).await;
    assert_eq!(job.status, Status::Cancelled);
}

#[tokio::test]
async fn a_command_gets_no_new_rights_and_writes_for_its_user_alone() {
    let plan = Kind::Embedded.plan();
    let script = "umask; grep NoNewPrivs /proc/self/status | cut -f2";
    let system = plan.shell("rights", 1, script).start().await;
    assert_eq!(output(&system, "rights", json!(1)).await, "0077\n1\n");
}

#[tokio::test]
async fn a_command_cannot_read_the_secrets_of_its_worker() {
    let plan = Kind::Fleet.plan().clerks(1);
    let script = "tr '\\0' '\\n' < /proc/$(cat)/environ";
    let system = plan.shell("look", 1, script).start().await;
    let worker = system.workers[0].pid();
    let seen = output(&system, "look", json!(worker)).await;
    assert!(seen.contains("CLERKWORK_PREFIX"), "{seen}");
    for secret in ["amqp://", "postgres://"] {
        assert!(!seen.contains(secret), "{seen}");
    }
}

/// A server that is process 1 of a namespace of its own; `None` where that takes rights we have not.
async fn process_1(system: &System, workers: &[&str]) -> Option<Process> {
    let namespace = ["-fp", "--kill-child", "--mount-proc"];
    let may = Command::new("unshare").args(namespace).arg("true").status();
    if !may.await.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(namespace).arg(clerkwork());
    command.args(["dev", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(system.folder().join("data-of-1"));
    for worker in workers {
        command.args(["--worker", worker]);
    }
    Some(system.run("process-1", command))
}

#[tokio::test]
async fn a_worker_that_is_process_1_keeps_no_zombies() {
    let system = Kind::Embedded.plan().start().await;
    let workers = [
        "orphans*20=sh -c 'sleep 3011 & echo ok'",
        "zombies=sh -c 'cat /proc/[0-9]*/stat 2>/dev/null | grep -c \") Z \" || true'",
    ];
    let Some(mut server) = process_1(&system, &workers).await else {
        return;
    };
    let line = server.line_with("http://").await;
    let api = clerkwork_tests::Api::new(line.split(' ').next_back().unwrap());
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(api.send("orphans", json!(1)).await);
    }
    for job in &jobs {
        assert_eq!(api.ended(job).await.status, Status::Succeeded);
    }
    eventually("nobody is left to be reaped", LIMIT, async || {
        let zombies = api.run("zombies", json!(1)).await;
        (zombies.output?.get() == "0").then_some(())
    })
    .await;
}
