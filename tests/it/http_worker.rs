//! `worker --http`: the service of the guide, called by the real binary.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, Process, System, clerkwork, eventually, python, repository};
use serde_json::{Value, json};
use tokio::process::Command;

/// The service of the guide, started at a port (0 for a free one), and its URL.
pub(crate) async fn service_of_the_guide(system: &System, port: &str) -> (Process, String) {
    let mut service = Command::new(python());
    service
        .arg(repository().join("docs/examples/http_service.py"))
        .arg(port);
    let mut service = system.run("service", service);
    let line = service.line_with("http://").await;
    let url = line.rsplit(' ').next().unwrap().to_owned();
    (service, url)
}

/// A fleet whose queue `render` is served by a worker that calls the service of the guide.
async fn called() -> (System, Process, Process) {
    let system = Kind::Fleet.plan().clerks(1).queue("render").start().await;
    let (service, url) = service_of_the_guide(&system, "0").await;
    let mut worker = Command::new(clerkwork());
    worker.args(["worker", "--queue", "render*4", "--http", &url]);
    let mut worker = system.run("http-worker", worker);
    worker.line_with("render").await;
    (system, service, worker)
}

#[tokio::test]
async fn a_service_answers_refuses_and_asks_for_a_later_attempt() {
    let (system, _service, mut worker) = called().await;
    let api = system.api();
    let job = api.run("render", json!({"pages": 3})).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(job.output.unwrap().get(), r#"{"pages": 3}"#);
    assert_eq!(job.output_type.as_deref(), Some("application/json"));

    let job = api.run("render", json!({"sides": 3})).await;
    assert_eq!((job.status, job.attempt), (Status::Failed, 1));
    let error = job.error.unwrap();
    assert_eq!(error.title, "The input does not fit");
    assert_eq!(error.detail.as_deref(), Some("it needs a number of pages"));

    let job = api.run("render", json!({"pages": 1001})).await;
    assert_eq!((job.status, job.attempt), (Status::Succeeded, 2), "{job:?}");
    let path = format!("/jobs/{}/attempts", job.id);
    let attempts: Value = serde_json::from_slice(&api.bytes(&path).await.1).unwrap();
    assert_eq!(
        attempts["attempts"][0]["error"]["detail"],
        "busy: so many pages only later"
    );
    assert!(worker.terminate().await.success());
}

#[tokio::test]
async fn a_job_waits_for_a_service_that_is_away() {
    let (system, mut service, _worker) = called().await;
    let api = system.api();
    let url = service.line_with("http://").await;
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
    service.kill().await;
    let job = json!({"queue": "render", "input": {"pages": 1}, "max_attempts": 1});
    let job = api.submit(&job).await;
    eventually("its note says why", Duration::from_secs(60), async || {
        let note = api.job(job.id).await.note?;
        note.contains("cannot be reached").then_some(())
    })
    .await;
    let _again = service_of_the_guide(&system, port).await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
}
