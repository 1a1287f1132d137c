//! Processes and servers are killed under load: every accepted job ends, and ends once.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::own::{self, Own, Postgres};
use clerkwork_tests::{Api, Bus, Journal, Kind, Load, Plan, Seen, System, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// How long a job may take to end once everything works again.
pub(crate) const HEALED: Duration = Duration::from_secs(120);

fn counted(plan: Plan) -> (Plan, Journal) {
    let journal = plan.journal("runs");
    let plan = plan.shell("work", 4, &format!("{}; cat", journal.note()));
    (plan, journal)
}

/// Two clerks and two workers that show every half second that they live.
pub(crate) async fn fleet(plan: Plan) -> (System, Journal) {
    let (plan, journal) = counted(plan.clerk_setting("heartbeat", "500ms"));
    let mut system = plan.start().await;
    system.add_worker(0).await;
    (system, journal)
}

/// Until each clerk says at `/readyz` that it is so.
pub(crate) async fn becomes(system: &System, status: u16, ready: Value) {
    for clerk in clerks(system) {
        eventually(
            "the clerk says how it is",
            Duration::from_secs(30),
            async || {
                let (told, body) = clerk.look("/readyz").await?;
                let same = |name: &str| body[name] == ready[name];
                (told == status && same("store") && same("broker")).then_some(())
            },
        )
        .await;
        assert_eq!(clerk.look("/healthz").await.unwrap().0, 200, "it lives");
    }
}

pub(crate) fn clerks(system: &System) -> Vec<Api> {
    (0..system.clerks.len())
        .map(|index| system.clerk(index))
        .collect()
}

#[tokio::test]
async fn two_hundred_accepted_jobs_survive_the_kill_of_the_embedded_process() {
    let (plan, journal) = counted(Kind::Embedded.plan());
    let mut system = plan.start().await;
    let api = system.api();
    let jobs = join_all((0..200).map(|number| {
        let api = &api;
        async move { api.send("work", json!(number)).await }
    }))
    .await;
    system.clerks[0].process.kill().await;
    system.restart_clerk(0).await;
    let api = system.api();
    for ended in join_all(jobs.iter().map(|job| api.ended_within(job, HEALED))).await {
        assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    }
    let runs = journal.counts();
    assert_eq!(runs.len(), 200, "each of the jobs was run");
}

#[tokio::test]
async fn a_job_that_was_running_when_the_embedded_process_died_has_failed_once() {
    let plan = Kind::Embedded.plan();
    let journal = plan.journal("runs");
    let script = format!("{}; exec sleep 600", journal.note());
    let mut system = plan.shell("long", 1, &script).start().await;
    let api = system.api();
    let only_try = json!({"queue": "long", "input": 1, "max_attempts": 1});
    let running = api.submit(&only_try).await;
    eventually(
        "the job is seen running",
        Duration::from_secs(20),
        async || (api.job(running.id).await.status == Status::Running).then_some(()),
    )
    .await;
    let waiting = api.submit(&only_try).await;
    system.clerks[0].process.kill().await;
    system.restart_clerk(0).await;
    let api = system.api();
    let ended = api.ended(&running).await;
    assert_eq!(ended.status, Status::Failed);
    let error = serde_json::to_value(ended.error.unwrap()).unwrap();
    assert_eq!(error["type"], "urn:clerkwork:problem:worker-lost");
    let path = format!("/jobs/{}/attempts", running.id);
    let attempts = api.json(Method::GET, &path, None).await;
    let attempt = &attempts["attempts"][0];
    assert_eq!(attempt["error"]["type"], error["type"], "{attempts}");
    assert!(attempt["worker"].is_string() && attempt["finished_at"].is_string());
    assert_eq!(attempts["attempts"].as_array().unwrap().len(), 1);
    eventually("the other job runs", Duration::from_secs(20), async || {
        journal
            .lines()
            .contains(&waiting.id.to_string())
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_clerk_is_taken_over_and_every_accepted_job_ends() {
    for victim in [0, 1] {
        let (mut system, _journal) = fleet(Kind::Fleet.plan()).await;
        let load = Load::start(8, "work", &clerks(&system));
        load.accept(60).await;
        system.clerks[victim].process.kill().await;
        // Half of the clients go on, at the other clerk.
        load.accept(40).await;
        let seen = load.stop().await;
        // The dead clerk does not come back.
        seen.all_succeed(&[system.clerk(1 - victim)], HEALED).await;
    }
}

#[tokio::test]
async fn every_accepted_job_ends_after_a_worker_is_killed() {
    let (mut system, _journal) = fleet(Kind::Fleet.plan()).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    system.workers[0].kill().await;
    load.accept(40).await;
    system.restart_worker(0).await;
    load.accept(20).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
}

#[tokio::test]
async fn every_accepted_job_ends_after_the_broker_is_killed() {
    let Some(mut own) = Own::start().await else {
        return;
    };
    let (system, _journal) = fleet(Kind::Fleet.plan().on(own.services())).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    own.rabbit.kill().await;
    becomes(&system, 200, json!({"store": "up", "broker": "down"})).await;
    // The store is the truth: jobs are accepted without a broker.
    load.accept(20).await;
    own.rabbit.run().await;
    load.accept(20).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
}

#[tokio::test]
async fn every_accepted_job_ends_after_postgresql_is_killed() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let mut postgres = Postgres::start().await;
    let services = postgres.services();
    let (system, _journal) = fleet(Kind::Fleet.plan().on(services)).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    postgres.kill();
    becomes(&system, 503, json!({"store": "down", "broker": "up"})).await;
    refuses(&system).await;
    postgres.run().await;
    load.accept(40).await;
    let seen = load.stop().await;
    refused_for_the_moment(&seen);
    seen.all_succeed(&clerks(&system), HEALED).await;
}

/// Until a clerk refuses a job, and says when to try again.
pub(crate) async fn refuses(system: &System) {
    let job = json!({"queue": "work", "input": 1});
    let refused = eventually("a clerk says so", Duration::from_secs(30), async || {
        let answer = system.api().try_submit(&job).await.ok()?;
        (answer.status().as_u16() == 503).then_some(answer)
    })
    .await;
    assert!(refused.headers().contains_key("Retry-After"));
}

/// Whatever was refused was told that the store is away, or does not answer.
pub(crate) fn refused_for_the_moment(seen: &Seen) {
    for (status, kind) in &seen.refused {
        let word = kind.trim_start_matches("urn:clerkwork:problem:");
        let documented = ["unavailable", "outcome-unknown"].contains(&word);
        assert!(*status == 503 && documented, "{status} {kind}");
    }
}

#[tokio::test]
async fn no_accepted_job_is_lost_when_a_synchronous_standby_takes_the_place_of_postgresql() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let mut primary = Postgres::start().await;
    let mut standby = primary.standby().await;
    let (system, _journal) = fleet(Kind::Fleet.plan().on(primary.services())).await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    primary.kill();
    standby.take_the_place_of(&primary).await;
    load.accept(40).await;
    let seen = load.stop().await;
    refused_for_the_moment(&seen);
    seen.all_succeed(&clerks(&system), HEALED).await;
}

#[tokio::test]
async fn every_accepted_job_ends_after_the_broker_has_lost_its_data() {
    let Some(mut own) = Own::start().await else {
        return;
    };
    let plan = Kind::Fleet.plan().on(own.services()).queue("idle");
    let (system, _journal) = fleet(plan).await;
    // Nobody takes these before the broker is new.
    let idle = join_all((0..50).map(|number| {
        let api = system.api();
        async move { api.send("idle", json!(number)).await }
    }));
    let idle = idle.await;
    let bus = system.bus().await;
    let queue = bus.names().jobs("idle");
    let _consumer = bus.attract(&queue).await;
    eventually("they are on the queue", HEALED, async || {
        (bus.depth(&queue).await as usize == idle.len() - 1).then_some(())
    })
    .await;
    bus.close().await;
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(60).await;
    own.rabbit.lose_data().await;
    load.accept(20).await;
    own.rabbit.run().await;
    load.accept(20).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
    let _late = system.late_worker("idle", &["cat"]).await;
    for job in &idle {
        let ended = system.api().ended_within(job, HEALED).await;
        assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    }
}

#[tokio::test]
async fn what_a_deleted_queue_held_is_dispatched_anew_and_runs_once() {
    // More than clerks doubt at once, and both clerks find the queue gone.
    const JOBS: usize = 2_400;
    let plan = Kind::Fleet.plan().queue("idle");
    let plan = plan.clerk_setting("window", "4000");
    let system = plan.start().await;
    for part in 0..4 {
        let jobs = vec![json!({"queue": "idle", "input": 1}); JOBS / 4];
        let batch = Some(json!({"jobs": jobs}));
        let api = system.clerk(part % 2);
        api.json(Method::POST, "/jobs/batch", batch).await;
    }
    let bus = system.bus().await;
    let queue = bus.names().jobs("idle");
    let limit = Duration::from_secs(60);
    // All but one, which is in the hands of who made clerks dispatch.
    let full = async |bus: &Bus| {
        eventually("all are on the queue", limit, async || {
            (bus.depth(&queue).await as usize == JOBS - 1).then_some(())
        })
        .await;
    };
    let _consumer = bus.attract(&queue).await;
    full(&bus).await;
    bus.delete(&queue).await;
    bus.close().await;
    // A queue that is not there closes the channel of whoever asks.
    eventually("there is a new queue", limit, async || {
        let bus = system.bus().await;
        let depth = bus.try_depth(&queue).await;
        bus.close().await;
        depth
    })
    .await;
    let bus = system.bus().await;
    let _consumer = bus.attract(&queue).await;
    full(&bus).await;
    bus.close().await;
    let _late = system.late_worker("idle*32", &["true"]).await;
    eventually("all have run", HEALED, async || {
        let ended = succeeded(&system.api()).await;
        for job in &ended {
            assert_eq!(job["attempt"], 2, "{job}");
        }
        (ended.len() == JOBS).then_some(())
    })
    .await;
}

/// All jobs that have succeeded.
pub(crate) async fn succeeded(api: &Api) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/jobs?status=succeeded&limit=200&cursor={cursor}");
        let mut page = api.json(Method::GET, &path, None).await;
        all.append(page["jobs"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
}
