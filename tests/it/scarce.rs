//! There is too little of something: connections of the database, places on a queue, calm after a broker's restart.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::amqp;
use clerkwork_core::Status;
use clerkwork_tests::own::{self, Own, Postgres};
use clerkwork_tests::{Kind, Load, eventually, heavy};
use clerkwork_worker::{JobError, Options, Worker};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::crash::{HEALED, becomes, clerks, fleet, refused_for_the_moment, refuses, succeeded};

/// Takes every connection that a PostgreSQL has, those of the clerks too.
async fn take_all(url: &str) -> Vec<PgConnection> {
    let mut held = vec![PgConnection::connect(url).await.unwrap()];
    for _ in 0..500 {
        while let Ok(Ok(one)) = timeout(Duration::from_secs(5), PgConnection::connect(url)).await {
            held.push(one);
        }
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'clerkwork%'";
        let ended: i64 = sqlx::query_scalar(end)
            .fetch_one(&mut held[0])
            .await
            .unwrap();
        if ended == 0 {
            return held;
        }
    }
    panic!("the clerks always find a connection");
}

#[tokio::test]
async fn while_postgresql_has_no_connection_left_jobs_are_refused_with_a_reason_and_afterwards_all_end()
 {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let postgres = Postgres::start().await;
    let (system, _journal) = fleet(Kind::Fleet.plan().on(postgres.services())).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    let held = take_all(&postgres.url()).await;
    becomes(&system, 503, json!({"store": "down", "broker": "up"})).await;
    refuses(&system).await;
    drop(held);
    load.accept(40).await;
    let seen = load.stop().await;
    refused_for_the_moment(&seen);
    seen.all_succeed(&clerks(&system), HEALED).await;
}

#[tokio::test]
async fn a_queue_that_takes_no_more_holds_jobs_back_and_fails_none() {
    let Some(own) = Own::start().await else {
        return;
    };
    let short = r#"{"max-length": 20, "overflow": "reject-publish"}"#;
    let policy = ["set_policy", "short", r".*\.jobs\.work$", short];
    let policy = [&policy[..], &["--apply-to", "queues"]].concat();
    own.rabbit.control(&policy).await;
    let system = Kind::Fleet
        .plan()
        .on(own.services())
        .queue("work")
        .start()
        .await;
    let api = system.api();
    let submit = async |jobs: usize| {
        let jobs = vec![json!({"queue": "work", "input": 1, "max_attempts": 1}); jobs];
        api.json(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs})))
            .await
    };
    let bus = system.bus().await;
    let queue = bus.names().jobs("work");
    let _consumer = bus.attract(&queue).await;
    // A broker that is busy takes a while to heed its policy: until a dispatch was refused, and made anew.
    let mut early = 0;
    eventually("the limit is heeded", HEALED, async || {
        submit(20).await;
        early += 20;
        let queued = api.json(Method::GET, "/jobs?status=queued&limit=200", None);
        let queued = queued.await;
        let again = |job: &Value| job["attempt"].as_u64() > Some(1);
        queued["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .any(again)
            .then_some(())
    })
    .await;
    let (rest, all) = (early * 4, early * 5);
    for _ in 0..rest / 20 {
        submit(20).await;
    }
    let depth = bus.depth(&queue).await as usize;
    bus.close().await;
    assert!(depth < all / 2, "the queue holds {depth} of {all}");
    let _late = system.late_worker("work*8", &["true"]).await;
    eventually("all have succeeded", HEALED, async || {
        (succeeded(&api).await.len() == all).then_some(())
    })
    .await;
}

async fn echo(input: Value) -> Result<Value, JobError> {
    Ok(input)
}

#[tokio::test]
async fn two_hundred_workers_that_come_back_at_once_after_the_brokers_restart_go_on_within_a_minute()
 {
    const WORKERS: usize = 200;
    let _core = heavy().await;
    let Some(mut own) = Own::start().await else {
        return;
    };
    let plan = Kind::Fleet.plan().on(own.services()).queue("crowd");
    let system = plan.start().await;
    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let options = amqp::Options::new(system.broker(), "one of a crowd");
            let broker = amqp::connect(&options).unwrap();
            let options = Options {
                prefix: system.prefix().to_owned(),
                ..Options::default()
            };
            let worker = Worker::new(Arc::new(()))
                .queue("crowd", echo)
                .options(options);
            let running = tokio::spawn(worker.run(broker.clone(), stop.clone()));
            (broker, running)
        })
        .collect();
    let reported = async || {
        let all = system.api().json(Method::GET, "/workers", None).await;
        let all = all["workers"].as_array().map_or(0, Vec::len);
        (all == WORKERS).then_some(())
    };
    eventually("all have reported", HEALED, reported).await;
    let load = Load::start(8, "crowd", &clerks(&system));
    load.accept(60).await;
    own.rabbit.kill().await;
    own.rabbit.run().await;
    let job = system.api().run("crowd", json!("after the restart")).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    load.accept(60).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
    stop.cancel();
    for (broker, running) in workers {
        running.await.unwrap().unwrap();
        broker.close().await;
    }
}
