//! Cancel, in each state that a job can be in.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, Plan, claims, eventually};
use reqwest::Method;
use serde_json::json;

claims! {
    a_scheduled_job_is_cancelled_at_once,
    a_queued_job_is_cancelled_and_never_starts,
    a_running_command_is_stopped_and_the_job_is_cancelled,
    a_command_that_ignores_the_signal_is_stopped_by_force,
    a_job_waiting_for_its_retry_is_cancelled_at_once,
    a_finished_job_is_left_as_it_is,
}

/// A worker for one job at a time, which writes down what it starts and goes on until the file is there.
fn gated(plan: Plan, queue: &str) -> (Plan, clerkwork_tests::Journal, std::path::PathBuf) {
    let journal = plan.journal("started");
    let gate = plan.file("gate");
    let script = format!(
        "{}; while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        journal.note(),
        gate.display()
    );
    (plan.shell(queue, 1, &script), journal, gate)
}

async fn a_scheduled_job_is_cancelled_at_once(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let spec = json!({"queue": "echo", "input": 1, "delay_s": 3600});
    let job = system.clerk(0).submit(&spec).await;
    let job = system.clerk(1).cancel(job.id).await;
    assert_eq!(job.status, Status::Cancelled);
    assert!(job.done && job.cancel_requested_at.is_some() && job.started_at.is_none());
    assert_eq!(system.clerk(0).job(job.id).await.status, Status::Cancelled);
}

async fn a_queued_job_is_cancelled_and_never_starts(kind: Kind) {
    let (plan, journal, gate) = gated(kind.plan(), "one");
    let system = plan.start().await;
    let api = system.api();
    let first = api.send("one", json!(1)).await;
    eventually("the first job runs", Duration::from_secs(20), async || {
        journal.lines().first().map(|_| ())
    })
    .await;
    let second = api.send("one", json!(2)).await;
    let third = api.send("one", json!(3)).await;
    let cancelled = system.clerk(1).cancel(second.id).await;
    assert_eq!(cancelled.status, Status::Cancelled);
    std::fs::write(gate, "").unwrap();
    assert_eq!(api.ended(&first).await.status, Status::Succeeded);
    assert_eq!(api.ended(&third).await.status, Status::Succeeded);
    assert_eq!(api.job(second.id).await.status, Status::Cancelled);
    assert!(!journal.lines().contains(&second.id.to_string()));
}

async fn a_running_command_is_stopped_and_the_job_is_cancelled(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("pids");
    let script = format!("{}; exec sleep 600", journal.write("$$"));
    let system = plan.shell("long", 1, &script).start().await;
    let api = system.api();
    let job = api.send("long", json!(1)).await;
    let pid = eventually("the command runs", Duration::from_secs(20), async || {
        journal.lines().first().cloned()
    })
    .await;
    // Until the start is on record the job ends at once, and its command soon after.
    eventually(
        "the start is on record",
        Duration::from_secs(20),
        async || (api.job(job.id).await.status == Status::Running).then_some(()),
    )
    .await;
    let answer = system.clerk(1).cancel(job.id).await;
    assert!(answer.cancel_requested_at.is_some());
    let job = api.ended_within(&job, Duration::from_secs(60)).await;
    assert_eq!(job.status, Status::Cancelled);
    assert_eq!(job.attempt, 1, "a cancelled job is not retried");
    assert!(!std::path::Path::new(&format!("/proc/{pid}/cwd")).exists());
}

async fn a_command_that_ignores_the_signal_is_stopped_by_force(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("pids");
    let script = format!(
        "trap '' TERM; {}; while :; do sleep 0.1; done",
        journal.write("$$")
    );
    let plan = plan
        .shell("deaf", 1, &script)
        .worker_setting("kill-grace", "300ms");
    let system = plan.start().await;
    let api = system.api();
    let job = api.send("deaf", json!(1)).await;
    eventually("the command runs", Duration::from_secs(20), async || {
        journal.lines().first().map(|_| ())
    })
    .await;
    api.cancel(job.id).await;
    let job = api.ended_within(&job, Duration::from_secs(60)).await;
    assert_eq!(job.status, Status::Cancelled);
}

async fn a_job_waiting_for_its_retry_is_cancelled_at_once(kind: Kind) {
    let system = kind.plan().shell("broken", 1, "exit 1").start().await;
    let api = system.api();
    let spec = json!({"queue": "broken", "input": 1, "retry_delay_s": 3600});
    let job = api.submit(&spec).await;
    eventually(
        "the job waits for its retry",
        Duration::from_secs(20),
        async || {
            let job = api.job(job.id).await;
            (job.status == Status::Scheduled && job.attempt == 1).then_some(())
        },
    )
    .await;
    let job = system.clerk(1).cancel(job.id).await;
    assert_eq!(job.status, Status::Cancelled);
}

async fn a_finished_job_is_left_as_it_is(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let api = system.api();
    let job = api.run("echo", json!(1)).await;
    let path = format!("/jobs/{}", job.id);
    let before = api.json(Method::GET, &path, None).await;
    let answer = api
        .request(Method::POST, &format!("{path}/cancel"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(api.json(Method::GET, &path, None).await, before);
}
