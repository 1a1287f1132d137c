//! Queues: declare, pause, resume, purge, and what happens without a worker.

use std::time::{Duration, Instant};

use clerkwork_broker::{Message, Published, amqp};
use clerkwork_core::Status;
use clerkwork_tests::{Kind, Pipe, claims, eventually, heavy};
use clerkwork_wire::Names;
use clerkwork_wire::v1::Control;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

claims! {
    a_paused_queue_starts_nothing_until_it_is_resumed,
    a_purge_of_20_000_queued_jobs_takes_seconds,
    a_purge_ends_what_is_scheduled_and_queued_and_nothing_else,
}

async fn a_paused_queue_starts_nothing_until_it_is_resumed(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("started");
    let system = plan
        .shell("work", 2, &format!("{}; cat", journal.note()))
        .start()
        .await;
    let (api, other) = (system.clerk(0), system.clerk(1));
    api.json(Method::PUT, "/queues/work", None).await;
    api.json(Method::PATCH, "/queues/work", Some(json!({"paused": true})))
        .await;
    let jobs = join_all((0..10).map(|number| api.send("work", json!(number)))).await;
    // A job of another queue shows that the clerks and the store went on meanwhile.
    let held = other
        .request(Method::GET, &format!("/jobs/{}", jobs[0].id))
        .header("Prefer", "wait=2")
        .send()
        .await
        .unwrap();
    let held: clerkwork_core::JobObject = held.json().await.unwrap();
    assert_eq!(held.status, Status::Queued);
    assert!(journal.lines().is_empty());
    let seen = other.json(Method::GET, "/queues/work", None).await;
    assert_eq!(
        (&seen["paused"], &seen["queued"]),
        (&json!(true), &json!(10))
    );
    other
        .json(
            Method::PATCH,
            "/queues/work",
            Some(json!({"paused": false})),
        )
        .await;
    for job in &jobs {
        assert_eq!(api.ended(job).await.status, Status::Succeeded);
    }
    assert!(journal.counts().values().all(|&times| times == 1));
    assert_eq!(journal.lines().len(), 10);
}

async fn a_purge_of_20_000_queued_jobs_takes_seconds(kind: Kind) {
    let _core = heavy().await;
    const JOBS: usize = 20_000;
    let system = kind.plan().queue("deep").start().await;
    let (api, other) = (system.clerk(0), system.clerk(1));
    api.json(Method::PUT, "/queues/deep", None).await;
    api.json(Method::PATCH, "/queues/deep", Some(json!({"paused": true})))
        .await;
    let accepted = Pipe::submit(api.base(), r#"{"queue":"deep","input":1}"#, JOBS).await;
    assert_eq!(accepted, JOBS);
    let begun = Instant::now();
    let answer = other.json(Method::POST, "/queues/deep/purge", None).await;
    let took = begun.elapsed();
    assert_eq!(answer, json!({"cancelled": JOBS}));
    assert!(took < Duration::from_secs(60), "the purge took {took:?}");
    let seen = api.json(Method::GET, "/queues/deep", None).await;
    assert_eq!(seen["queued"], 0);
    let listed = api
        .json(Method::GET, "/jobs?queue=deep&limit=200", None)
        .await;
    let listed = listed["jobs"].as_array().unwrap();
    assert!(listed.iter().all(|job| job["status"] == "cancelled"));
}

async fn a_purge_ends_what_is_scheduled_and_queued_and_nothing_else(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("started");
    let gate = plan.file("gate");
    let script = format!(
        "{}; while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        journal.note(),
        gate.display()
    );
    let system = plan.shell("work", 1, &script).start().await;
    let api = system.api();
    let running = api.send("work", json!(1)).await;
    clerkwork_tests::eventually("the job runs", Duration::from_secs(20), async || {
        let job = api.job(running.id).await;
        (job.status == Status::Running).then_some(())
    })
    .await;
    let queued = api.send("work", json!(2)).await;
    let spec = json!({"queue": "work", "input": 3, "delay_s": 3600});
    let scheduled = api.submit(&spec).await;
    let answer = api.json(Method::POST, "/queues/work/purge", None).await;
    assert_eq!(answer, json!({"cancelled": 2}));
    std::fs::write(gate, "").unwrap();
    assert_eq!(api.ended(&running).await.status, Status::Succeeded);
    assert_eq!(api.job(queued.id).await.status, Status::Cancelled);
    assert_eq!(api.job(scheduled.id).await.status, Status::Cancelled);
    assert_eq!(journal.lines(), [running.id.to_string()]);
}

#[tokio::test]
async fn a_fleet_refuses_a_queue_that_nobody_declared() {
    let mut system = Kind::Fleet.plan().start().await;
    system.clears("nowhere");
    let api = system.api();
    let request = api.request(Method::POST, "/jobs");
    let refusal = api
        .refusal(request.json(&json!({"queue": "nowhere", "input": 1})))
        .await;
    assert_eq!(refusal.status, 404);
    assert_eq!(refusal.kind, "urn:clerkwork:problem:unknown-queue");
    api.json(Method::PUT, "/queues/nowhere", None).await;
    // Every clerk knows it then.
    let job = system.clerk(1).send("nowhere", json!(1)).await;
    assert_eq!(job.status, Status::Queued);
    system
        .clerk(0)
        .json(Method::POST, "/queues/nowhere/purge", None)
        .await;
}

#[tokio::test]
async fn a_queue_that_a_worker_has_served_is_known_to_every_clerk_from_then_on() {
    let soon = Duration::from_secs(20);
    let plan = Kind::Fleet.plan().command("found", 1, &["cat"]);
    let mut system = plan.undeclared().start().await;
    let spec = json!({"queue": "found", "input": 1});
    for clerk in 0..2 {
        let api = system.clerk(clerk);
        clerkwork_tests::eventually("the clerk knows the queue", soon, async || {
            let answer = api.try_submit(&spec).await.unwrap();
            (answer.status().as_u16() == 202).then_some(())
        })
        .await;
        assert_eq!(api.run("found", json!(2)).await.status, Status::Succeeded);
    }
    assert!(system.workers[0].terminate().await.success());
    // Nor does it take a clerk that was there at the time.
    system.clerks[0].process.kill().await;
    system.restart_clerk(0).await;
    let job = system.clerk(0).send("found", json!(3)).await;
    assert_eq!(job.status, Status::Queued);
    assert_eq!(
        system.clerk(1).cancel(job.id).await.status,
        Status::Cancelled
    );
}

/// Any word may be lost, or come too late: what is told again mends it.
#[tokio::test]
async fn a_worker_that_takes_a_queue_for_paused_goes_on_once_clerks_have_told_it_again() {
    let plan = Kind::Fleet.plan().command("work", 2, &["cat"]);
    let system = plan.start().await;
    let api = system.api();
    api.run("work", json!(1)).await;
    let stranger = amqp::connect(&amqp::Options::new(system.broker(), "a stranger")).unwrap();
    let pause = Control {
        pause: vec!["work".to_owned()],
        ..Control::default()
    };
    let message = Message {
        exchange: Names::new(system.prefix()).control(),
        key: String::new(),
        durable: false,
        envelope: pause.encode(),
    };
    eventually("it is told", Duration::from_secs(20), async || {
        let told = stranger.publish(vec![message.clone()]).await;
        (told == [Published::Confirmed]).then_some(())
    })
    .await;
    stranger.close().await;
    // Also if it comes before the worker has heard the word.
    for number in 0..10 {
        let job = api.send("work", json!(number)).await;
        let job = api.ended_within(&job, Duration::from_secs(60)).await;
        assert_eq!(job.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn when_the_fleets_own_queues_are_deleted_they_are_declared_anew_and_jobs_go_on() {
    let plan = Kind::Fleet.plan().command("work", 2, &["cat"]);
    let system = plan.start().await;
    let api = system.api();
    api.run("work", json!(1)).await;
    let bus = system.bus().await;
    let names = bus.names();
    for own in [names.replies(), names.reports(), names.dead()] {
        bus.delete(&own).await;
        let job = api.send("work", json!(2)).await;
        let job = api.ended_within(&job, Duration::from_secs(60)).await;
        assert_eq!(job.status, Status::Succeeded, "without {own}");
        eventually("it is there again", Duration::from_secs(60), async || {
            let bus = system.bus().await;
            let there = bus.try_depth(&own).await;
            bus.close().await;
            there
        })
        .await;
    }
    bus.close().await;
}
