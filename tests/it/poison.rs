//! Jobs that end or are refused by workers that send no reports, and purges that remove them.

use std::time::Duration;

use clerkwork_core::{Failure, JobObject, Status};
use clerkwork_tests::{Api, Bus, Kind, Plan, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

fn plan() -> Plan {
    // Reports must have been heard well for a lease before their silence counts.
    let plan = Kind::Fleet.plan().queue("plain");
    plan.lease(Duration::from_secs(4))
}

async fn errors(api: &Api, job: &JobObject) -> Vec<Value> {
    let path = format!("/jobs/{}/attempts", job.id);
    let attempts = api.json(Method::GET, &path, None).await;
    let attempts = attempts["attempts"].as_array().unwrap();
    let error = |attempt: &Value| attempt["error"]["type"].clone();
    attempts.iter().map(error).collect()
}

/// Does it to the job's messages until the job has ended.
async fn until_ended(api: &Api, job: &JobObject, work: impl AsyncFn()) -> JobObject {
    eventually("the job ends", LIMIT, async || {
        work().await;
        let seen = api.job(job.id).await;
        seen.done.then_some(seen)
    })
    .await
}

#[tokio::test]
async fn a_job_that_plain_workers_reject_fails_after_its_attempts() {
    let system = plan().start().await;
    let api = system.api();
    let bus = system.bus().await;
    let queue = bus.names().jobs("plain");
    let spec = json!({"queue": "plain", "input": 1, "max_attempts": 2, "retry_delay_s": 0});
    let job = api.submit(&spec).await;
    let ended = until_ended(&api, &job, async || {
        bus.reject(&queue).await;
    })
    .await;
    assert_eq!(ended.status, Status::Failed);
    assert_eq!(ended.error.unwrap().kind, Failure::WORKER_LOST);
    assert_eq!(
        errors(&api, &job).await,
        vec![json!(Failure::WORKER_LOST); 2]
    );
    let said = |clerk: &clerkwork_tests::Clerk| {
        let log = clerk.process.complaints();
        let id = job.id.to_string();
        let names = |line: &str| line.contains("the broker gave it up") && line.contains(&id);
        log.lines()
            .any(|line| names(line) && line.contains("plain"))
    };
    assert!(
        system.clerks.iter().any(said),
        "the log names job and queue"
    );
    bus.close().await;
}

#[tokio::test]
async fn a_job_that_plain_workers_do_not_survive_becomes_a_failure() {
    let system = plan().start().await;
    let api = system.api();
    let bus = system.bus().await;
    let queue = bus.names().jobs("plain");
    let spec = json!({"queue": "plain", "input": 1, "max_attempts": 1});
    let job = api.submit(&spec).await;
    let ended = until_ended(&api, &job, async || {
        bus.lose(&queue).await;
    })
    .await;
    assert_eq!(ended.status, Status::Failed);
    assert_eq!(ended.error.unwrap().kind, Failure::WORKER_LOST);
    bus.close().await;
}

async fn waiting(bus: &Bus, queue: &str, count: u32) {
    eventually("they are on the queue", LIMIT, async || {
        (bus.depth(queue).await == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_purge_empties_the_brokers_queue_and_later_jobs_run() {
    let system = plan().start().await;
    let api = system.api();
    let (bus, plain) = (system.bus().await, system.bus().await);
    let queue = bus.names().jobs("plain");
    let _consumer = plain.attract(&queue).await;
    let jobs = join_all((0..9).map(|number| api.send("plain", json!(number)))).await;
    waiting(&bus, &queue, 8).await;
    let answer = system
        .clerk(1)
        .json(Method::POST, "/queues/plain/purge", None)
        .await;
    assert_eq!(answer, json!({"cancelled": 9}));
    waiting(&bus, &queue, 0).await;
    // What a worker has in hand comes back.
    plain.close().await;
    waiting(&bus, &queue, 1).await;
    api.json(Method::POST, "/queues/plain/purge", None).await;
    waiting(&bus, &queue, 0).await;
    for job in &jobs {
        assert_eq!(api.job(job.id).await.status, Status::Cancelled);
    }
    let _worker = system.late_worker("plain", &["cat"]).await;
    let job = api.send("plain", json!(1)).await;
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
    bus.close().await;
}

#[tokio::test]
async fn jobs_that_come_in_during_a_purge_are_cancelled_or_run() {
    let system = Kind::Fleet
        .plan()
        .command("work", 2, &["cat"])
        .start()
        .await;
    let submit = async |clerk: usize| {
        let api = system.clerk(clerk);
        let mut jobs = Vec::new();
        for number in 0..60 {
            jobs.push(api.send("work", json!(number)).await);
        }
        jobs
    };
    let purge = async {
        let api = system.clerk(0);
        for _ in 0..5 {
            api.json(Method::POST, "/queues/work/purge", None).await;
        }
    };
    let (one, two, ()) = tokio::join!(submit(0), submit(1), purge);
    for job in one.iter().chain(&two) {
        let ended = system.api().ended_within(job, LIMIT).await;
        assert!(matches!(
            ended.status,
            Status::Succeeded | Status::Cancelled
        ));
    }
}
