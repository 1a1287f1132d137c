//! A worker that cannot start jobs: they are not its jobs' failures, and it says so.

use std::path::PathBuf;
use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, Process, System, eventually};
use reqwest::Method;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// A worker that has no folder for its temporary files, and where that should be.
async fn without_a_folder(system: &System, queue: &str) -> (Process, PathBuf) {
    let folder = system.folder().join("missing");
    let mut worker = system.program(&["worker", "--queue", queue, "--", "cat"]);
    worker.env("TMPDIR", &folder);
    let mut worker = Process::start("broken-worker", worker, system.folder());
    worker.line_with("render").await;
    (worker, folder)
}

#[tokio::test]
async fn a_job_waits_for_a_worker_that_can_start_it_and_its_note_says_why() {
    let system = Kind::Fleet.plan().clerks(1).queue("render").start().await;
    let (worker, folder) = without_a_folder(&system, "render").await;
    let api = system.api();
    let job = json!({"queue": "render", "input": 7, "max_attempts": 1});
    let job = api.submit(&job).await;
    let late = json!({"queue": "render", "input": 8, "start_within_s": 3});
    let late = api.submit(&late).await;
    let note = eventually("the note says why it waits", LIMIT, async || {
        let note = api.job(job.id).await.note?;
        note.contains("cannot start").then_some(note)
    })
    .await;
    assert!(note.contains("No such file"), "{note}");
    assert!(worker.complaints().contains("could not be started"));
    let late = api.ended(&late).await;
    assert_eq!(late.status, Status::Expired, "{late:?}");
    std::fs::create_dir(folder).unwrap();
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    let attempts = format!("/jobs/{}/attempts", job.id);
    let attempts = api.json(Method::GET, &attempts, None).await;
    let attempts = attempts["attempts"].as_array().unwrap().clone();
    assert_eq!(attempts.len(), 1, "what was not started is no attempt");
}

#[tokio::test]
async fn a_worker_that_cannot_start_jobs_leaves_them_to_one_that_can() {
    let plan = Kind::Fleet.plan().clerks(1).command("render", 4, &["cat"]);
    let system = plan.start().await;
    let (_worker, _) = without_a_folder(&system, "render*4").await;
    let api = system.api();
    let mut jobs = Vec::new();
    for at in 0..40 {
        let job = json!({"queue": "render", "input": at, "max_attempts": 1});
        jobs.push(api.submit(&job).await);
    }
    for job in &jobs {
        let job = api.ended(job).await;
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
    }
}
