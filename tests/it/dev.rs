//! `dev` beyond a command: an HTTP service as a worker, the broker and the store of a fleet, and its log.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, Process, System, clerkwork};
use serde_json::json;
use tokio::process::Command;

use crate::http_worker::service_of_the_guide;

/// Starts `dev` with the services that the environment names, as after the exports of the README.
async fn dev(system: &System, settings: &[&str]) -> (Process, Api) {
    let mut command = Command::new(clerkwork());
    command
        .args(["dev", "--listen", "127.0.0.1:0"])
        .args(settings);
    let mut dev = system.run("dev", command);
    let line = dev.line_with("http://").await;
    let api = Api::new(line.rsplit(' ').next().unwrap());
    (dev, api)
}

#[tokio::test]
async fn a_service_named_to_dev_answers_its_jobs() {
    let system = Kind::Embedded.plan().start().await;
    let (_service, url) = service_of_the_guide(&system, "0").await;
    let worker = format!("render*2={url}");
    let (mut dev, api) = dev(&system, &["--worker", &worker]).await;
    let job = api.run("render", json!({"pages": 2})).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(job.output.unwrap().get(), r#"{"pages": 2}"#);
    assert!(dev.terminate().await.success());
}

#[tokio::test]
async fn dev_serves_workers_that_come_by_the_broker() {
    let mut system = Kind::Fleet.plan().clerks(0).start().await;
    for (queue, store) in [("filed", Some("sqlite:record.db")), ("tabled", None)] {
        system.clears(queue);
        let mut settings = vec!["--queues", queue];
        settings.extend(store.map(|_| "--store"));
        settings.extend(store);
        let (mut dev, api) = dev(&system, &settings).await;
        let mut worker = system.late_worker(queue, &["tr", "a-z", "A-Z"]).await;
        let job = api.run(queue, json!("abc")).await;
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
        assert_eq!(job.output.unwrap().get(), r#""ABC""#);
        assert!(worker.terminate().await.success());
        assert!(dev.terminate().await.success());
        let logged = dev.complaints();
        assert!(logged.contains("job succeeded"), "{logged}");
    }
    assert!(system.folder().join("record.db").exists());
}

#[tokio::test]
async fn dev_takes_no_replies_of_clerks_with_another_record() {
    let system = Kind::Fleet.plan().clerks(1).start().await;
    let mut command = Command::new(clerkwork());
    command.args([
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--store",
        "sqlite:record.db",
    ]);
    let mut dev = system.run("dev", command);
    let status = dev.ended_within(Duration::from_secs(60)).await;
    assert_eq!(status.code(), Some(2));
    let said = dev.complaints();
    assert!(said.contains("another --prefix"), "{said}");
}

#[tokio::test]
async fn dev_logs_one_line_for_each_job_that_ends() {
    let mut system = Kind::Embedded
        .plan()
        .shell("good", 2, "cat")
        .shell("bad", 1, "echo first >&2; echo second >&2; exit 65")
        .start()
        .await;
    let api = system.api();
    let good = api.run("good", json!(1)).await;
    let bad = api.run("bad", json!(1)).await;
    assert_eq!(bad.status, Status::Failed);
    let again = api.post(&format!("/jobs/{}/retry", bad.id)).await;
    let again = api.ended(&again).await;
    assert_eq!(again.status, Status::Failed);
    let later = json!({"queue": "good", "input": 1, "delay_s": 3600});
    let stopped = api.submit(&later).await;
    assert_eq!(api.cancel(stopped.id).await.status, Status::Cancelled);

    assert!(system.clerks[0].process.terminate().await.success());
    let logged = system.clerks[0].process.complaints();
    let lines = |message: &str, id: &dyn ToString| {
        let id = id.to_string();
        let is_it = |line: &&str| line.contains(message) && line.contains(&id);
        logged
            .lines()
            .filter(is_it)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines("job succeeded", &good.id).len(), 1, "{logged}");
    assert_eq!(lines("job cancelled", &stopped.id).len(), 1, "{logged}");
    for failed in [bad.id, again.id] {
        let told = lines("job failed", &failed);
        assert_eq!(told.len(), 1, "{logged}");
        assert!(
            told[0].contains("bad") && told[0].contains("first"),
            "{told:?}"
        );
        assert!(!told[0].contains("second"), "{told:?}");
    }
}
