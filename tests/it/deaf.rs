//! Clerks and brokers that fall silent: nobody acts on a silence that may be their own, and no job is
//! lost or failed for it.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::own::Own;
use clerkwork_tests::{Api, Kind, Process, Proxy, Signal, System, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

const LIMIT: Duration = Duration::from_secs(120);

async fn has_written(process: &Process, words: &str) {
    let what = format!("{process:?} writes {words:?}");
    eventually(&what, LIMIT, async || {
        process.complaints().contains(words).then_some(())
    })
    .await;
}

async fn broker_is(api: &Api, word: &str) {
    eventually("the clerk says how its broker is", LIMIT, async || {
        let (status, ready) = api.look("/readyz").await?;
        (status == 200 && ready["broker"] == word).then_some(())
    })
    .await;
}

async fn all_succeed(api: &Api, jobs: &[JobObject]) -> Vec<JobObject> {
    let ended = join_all(jobs.iter().map(|job| api.ended_within(job, LIMIT))).await;
    for job in &ended {
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
    }
    ended
}

/// Until so many jobs are shown as running.
async fn running(api: &Api, jobs: usize) {
    eventually("jobs run", LIMIT, async || {
        let list = api.json(Method::GET, "/jobs?status=running", None).await;
        (list["jobs"].as_array()?.len() >= jobs).then_some(())
    })
    .await;
}

/// Until the clerks' rows say that all dispatches are confirmed: nothing is in doubt if one dies then.
async fn all_are_confirmed(system: &System) {
    let mut store = PgConnection::connect(&system.store()).await.unwrap();
    let open = "select exists (select from jobs join clerks on clerks.id = jobs.clerk
                where jobs.number >= clerks.watermark)";
    eventually("all dispatches are confirmed", LIMIT, async || {
        let open: bool = sqlx::query_scalar(open)
            .fetch_one(&mut store)
            .await
            .unwrap();
        (!open).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_clerk_that_hears_nothing_is_taken_over_and_works_again_once_it_hears() {
    let plan = Kind::Fleet.plan().clerks(1);
    let plan = plan.clerk_setting("heartbeat", "500ms");
    let mut system = plan.command("work", 4, &["cat"]).start().await;
    let proxy = Proxy::start(system.broker()).await;
    system.add_clerk_with(&["--broker", proxy.url()]).await;
    let (hearing, deaf) = (system.clerk(0), system.clerk(1));
    broker_is(&deaf, "up").await;
    has_written(&system.clerks[1].process, "workers' reports are heard").await;
    assert_eq!(
        deaf.run("work", json!("before")).await.status,
        Status::Succeeded
    );

    proxy.cut();
    broker_is(&deaf, "down").await;
    has_written(&system.clerks[1].process, "the heartbeat stops").await;
    let jobs = join_all((0..20).map(|number| deaf.send("work", json!(number)))).await;
    has_written(&system.clerks[0].process, "a silent clerk was taken over").await;
    // Its store works: it goes on accepting, and the other one sees to what it accepts.
    let more = join_all((0..20).map(|number| deaf.send("work", json!(number)))).await;
    all_succeed(&hearing, &jobs).await;
    all_succeed(&hearing, &more).await;
    all_succeed(&deaf, &jobs).await;

    proxy.heal();
    broker_is(&deaf, "up").await;
    // Alone it has to do all of it.
    assert!(system.clerks[0].process.terminate().await.success());
    let later = join_all((0..20).map(|number| deaf.send("work", json!(number)))).await;
    all_succeed(&deaf, &later).await;
    has_written(
        &system.clerks[1].process,
        "a new incarnation of this clerk begins",
    )
    .await;
}

#[tokio::test]
async fn a_frozen_clerk_is_taken_over_and_begins_anew_when_it_thaws() {
    let plan = Kind::Fleet.plan().clerk_setting("heartbeat", "500ms");
    let (gate, journal) = (plan.file("gate"), plan.journal("runs"));
    let script = format!(
        "{}; while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        journal.note(),
        gate.display()
    );
    let system = plan.shell("work", 2, &script).start().await;
    let (frozen, awake) = (system.clerk(0), system.clerk(1));
    let jobs = join_all((0..20).map(|number| frozen.send("work", json!(number)))).await;
    running(&awake, 2).await;
    all_are_confirmed(&system).await;
    system.clerks[0].process.signal(Signal::SIGSTOP);
    has_written(&system.clerks[1].process, "a silent clerk was taken over").await;
    std::fs::write(gate, "").unwrap();
    // Replies that the frozen one had in hand come back once the broker gives its connection up.
    all_succeed(&awake, &jobs).await;
    system.clerks[0].process.signal(Signal::SIGCONT);
    has_written(
        &system.clerks[0].process,
        "a new incarnation of this clerk begins",
    )
    .await;
    all_succeed(&frozen, &jobs).await;
    let later = join_all((0..20).map(|number| frozen.send("work", json!(number)))).await;
    all_succeed(&frozen, &later).await;
    let runs = journal.counts();
    assert_eq!(runs.len(), 40);
    assert!(runs.values().all(|&times| times == 1), "{runs:?}");
}

#[tokio::test]
async fn a_broker_away_for_longer_than_any_lease_costs_no_running_job_an_attempt() {
    let lease = Duration::from_secs(8);
    let Some(own) = Own::start().await else {
        return;
    };
    let plan = Kind::Fleet.plan().on(own.services()).lease(lease);
    let gate = plan.file("gate");
    let script = format!(
        "while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        gate.display()
    );
    // Some are held under the short lease by then, and some wait on the broker.
    let plan = plan
        .shell("work", 4, &script)
        .worker_setting("hold-after", "10s")
        .clerk_setting("margin", "10s");
    let system = plan.start().await;
    let api = system.api();
    let only_try = json!({"queue": "work", "input": 1, "max_attempts": 1});
    let held = join_all((0..2).map(|_| api.submit(&only_try))).await;
    running(&api, 2).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let jobs = join_all((0..8).map(|_| api.submit(&only_try))).await;
    running(&api, 4).await;
    own.rabbit.freeze();
    // As long as the leases of all have been over for a while.
    tokio::time::sleep(lease * 5).await;
    own.rabbit.thaw();
    for clerk in 0..2 {
        broker_is(&system.clerk(clerk), "up").await;
    }
    // And as long again, in which they could act on what they did not hear.
    tokio::time::sleep(lease * 3).await;
    std::fs::write(gate, "").unwrap();
    for job in all_succeed(&api, &[held, jobs].concat()).await {
        assert_eq!(job.attempt, 1, "{job:?}");
    }
}
