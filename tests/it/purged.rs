//! A queue that is purged at the broker, behind everybody's back: what was on it is dispatched anew.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Api, Kind, Plan, System, eventually};
use futures_util::future::join_all;
use lapin::BasicProperties;
use reqwest::Method;
use serde_json::json;

/// How long a dispatch may go unseen in these tests.
const MARGIN: Duration = Duration::from_secs(4);

/// How long it may take until everything is noticed and mended on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn plan() -> Plan {
    Kind::Fleet
        .plan()
        .clerk_setting("margin", "4s")
        .lease(Duration::from_secs(4))
}

async fn submit(api: &Api, queue: &str, jobs: usize) -> Vec<JobObject> {
    join_all((0..jobs).map(|number| api.send(queue, json!(number)))).await
}

/// Empties the queue once `jobs` are on it.
async fn purge(system: &System, queue: &str, jobs: u32) {
    let bus = system.bus().await;
    let name = bus.names().jobs(queue);
    eventually("they are on the queue", LIMIT, async || {
        (bus.depth(&name).await >= jobs).then_some(())
    })
    .await;
    bus.purge(&name).await;
    bus.close().await;
}

/// Fills a queue with `jobs` that wait there, with nobody who consumes in the end.
async fn fill(system: &System, queue: &str, jobs: u32) {
    let (bus, other) = (system.bus().await, system.bus().await);
    let name = bus.names().jobs(queue);
    let depth = async |jobs: u32| {
        eventually("they are on the queue", LIMIT, async || {
            (bus.depth(&name).await >= jobs).then_some(())
        })
        .await;
    };
    let _consumer = other.attract(&name).await;
    // It has one in hand.
    depth(jobs - 1).await;
    other.close().await;
    depth(jobs).await;
    bus.close().await;
}

async fn all_succeed(api: &Api, jobs: &[JobObject]) -> Vec<JobObject> {
    let ended = join_all(jobs.iter().map(|job| api.ended_within(job, LIMIT))).await;
    for job in &ended {
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
    }
    ended
}

#[tokio::test]
async fn what_was_purged_while_no_worker_was_there_runs() {
    let system = plan().queue("idle").start().await;
    let jobs = submit(&system.api(), "idle", 30).await;
    fill(&system, "idle", 30).await;
    purge(&system, "idle", 30).await;
    let _worker = system.late_worker("idle*4", &["cat"]).await;
    for job in all_succeed(&system.api(), &jobs).await {
        assert_eq!(job.attempt, 2, "{job:?}");
    }
}

#[tokio::test]
async fn what_was_purged_behind_a_busy_worker_runs_and_what_runs_is_left_alone() {
    let plan = plan();
    let (gate, journal) = (plan.file("gate"), plan.journal("runs"));
    let script = format!(
        "{}; while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        journal.note(),
        gate.display()
    );
    let system = plan.shell("work", 1, &script).start().await;
    let api = system.api();
    let running = api.send("work", json!("first")).await;
    eventually("the job runs", LIMIT, async || {
        (api.job(running.id).await.status == Status::Running).then_some(())
    })
    .await;
    let jobs = submit(&api, "work", 20).await;
    purge(&system, "work", 10).await;
    // They are dispatched anew while the worker is still busy.
    let bus = system.bus().await;
    let name = bus.names().jobs("work");
    eventually("they are on the queue again", LIMIT, async || {
        (bus.depth(&name).await >= 10).then_some(())
    })
    .await;
    bus.close().await;
    std::fs::write(gate, "").unwrap();
    all_succeed(&api, &jobs).await;
    let first = api.ended_within(&running, LIMIT).await;
    assert_eq!((first.status, first.attempt), (Status::Succeeded, 1));
    let runs = journal.counts();
    assert_eq!(runs[&running.id.to_string()], 1);
    assert_eq!(runs.len(), 21);
}

#[tokio::test]
async fn what_was_purged_is_noticed_by_what_comes_through_later() {
    let plan = plan();
    let system = plan.command("work", 1, &["sleep", "0.3"]).start().await;
    let api = system.api();
    let jobs = submit(&api, "work", 40).await;
    purge(&system, "work", 10).await;
    // The queue is never empty: what comes later waits, and comes through.
    let later = async {
        let mut later = Vec::new();
        for _ in 0..8 {
            later.extend(submit(&api, "work", 4).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        later
    };
    let later = later.await;
    all_succeed(&api, &jobs).await;
    all_succeed(&api, &later).await;
}

#[tokio::test]
async fn a_job_that_waits_behind_slow_ones_is_not_dispatched_anew() {
    let plan = plan();
    let journal = plan.journal("runs");
    let script = format!("{}; sleep 3; cat", journal.note());
    let system = plan.shell("slow", 1, &script).start().await;
    let jobs = submit(&system.api(), "slow", 7).await;
    // The last one waits for far longer than the margin.
    assert!(Duration::from_secs(3 * 6) > MARGIN * 3);
    for job in all_succeed(&system.api(), &jobs).await {
        assert_eq!(job.attempt, 1, "{job:?}");
    }
    assert!(journal.counts().values().all(|&runs| runs == 1));
}

#[tokio::test]
async fn a_paused_queue_is_left_alone_until_it_is_resumed() {
    let system = plan().queue("idle").start().await;
    let api = system.api();
    let jobs = submit(&api, "idle", 5).await;
    fill(&system, "idle", 5).await;
    let bus = system.bus().await;
    let name = bus.names().jobs("idle");
    eventually("they are on the queue", LIMIT, async || {
        (bus.depth(&name).await == 5).then_some(())
    })
    .await;
    let pause = async |paused: bool| {
        let body = Some(json!({"paused": paused}));
        api.json(Method::PATCH, "/queues/idle", body).await
    };
    pause(true).await;
    // Every clerk knows by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    bus.purge(&name).await;
    tokio::time::sleep(MARGIN * 4).await;
    assert_eq!(bus.depth(&name).await, 0);
    for job in &jobs {
        let attempts = format!("/jobs/{}", job.id);
        assert_eq!(api.json(Method::GET, &attempts, None).await["attempt"], 1);
    }
    pause(false).await;
    let _worker = system.late_worker("idle", &["cat"]).await;
    for job in all_succeed(&api, &jobs).await {
        assert_eq!(job.attempt, 2, "{job:?}");
    }
    bus.close().await;
}

#[tokio::test]
async fn a_job_in_the_hands_of_a_worker_that_sends_no_reports_is_not_dispatched_anew() {
    let system = plan().queue("plain").start().await;
    let job = system.api().send("plain", json!(1)).await;
    let bus = system.bus().await;
    // It consumes, and takes its time.
    let (_consumer, correlation) = bus.hold(&bus.names().jobs("plain")).await;
    tokio::time::sleep(MARGIN * 4).await;
    let reply = BasicProperties::default()
        .with_correlation_id(correlation.as_str().into())
        .with_content_type("application/json".into());
    bus.publish("", &bus.names().replies(), reply, b"42").await;
    let ended = system.api().ended(&job).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
    bus.close().await;
}
