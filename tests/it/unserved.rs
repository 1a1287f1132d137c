//! Queues from which nobody consumes: their jobs stay in the store, and clerks know their consumers.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, claims, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

claims! {
    a_job_of_a_queue_without_workers_expires_at_its_deadline,
}

async fn a_job_of_a_queue_without_workers_expires_at_its_deadline(kind: Kind) {
    let system = kind.plan().queue("idle").start().await;
    let api = system.api();
    api.json(Method::PUT, "/queues/idle", None).await;
    for _ in 0..2 {
        let spec = json!({"queue": "idle", "input": 1, "start_within_s": 1});
        let job = api.submit(&spec).await;
        let ended = api.ended_within(&job, LIMIT).await;
        // It was never dispatched, so nothing kept it longer.
        assert_eq!((ended.status, ended.attempt), (Status::Expired, 0));
    }
}

#[tokio::test]
async fn a_worker_that_comes_late_gets_what_waits() {
    let system = Kind::Fleet.plan().queue("late").start().await;
    let api = system.api();
    let job = api.send("late", json!(1)).await;
    let note = async |api: &Api| api.job(job.id).await.note;
    let nobody = "no worker is connected to queue late";
    eventually("it is told that nobody is there", LIMIT, async || {
        (note(&api).await.as_deref() == Some(nobody)).then_some(())
    })
    .await;
    let _worker = system.late_worker("late", &["cat"]).await;
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
}

#[tokio::test]
async fn a_plain_worker_is_counted_and_no_note_denies_it() {
    let system = Kind::Fleet.plan().queue("plain").start().await;
    let api = system.api();
    let workers = async |clerk: usize| -> Value {
        let api = system.clerk(clerk);
        let queue = api.json(Method::GET, "/queues/plain", None).await;
        queue["workers"].clone()
    };
    assert_eq!(workers(0).await, json!(0));
    let bus = system.bus().await;
    let _consumer = bus.attract(&bus.names().jobs("plain")).await;
    for clerk in 0..2 {
        eventually("it is counted", LIMIT, async || {
            (workers(clerk).await == json!(1)).then_some(())
        })
        .await;
    }
    let job = api.send("plain", json!(1)).await;
    for clerk in 0..2 {
        let seen = system.clerk(clerk).job(job.id).await;
        assert_eq!((seen.status, seen.note), (Status::Queued, None));
    }
    bus.close().await;
}
