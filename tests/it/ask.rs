//! Workers die, freeze or lose their connection with a job in hand: it is run again, or it is not.

use std::time::{Duration, Instant};

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::own::Own;
use clerkwork_tests::{Api, Kind, Plan, System, eventually};
use lapin::BasicProperties;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const LIMIT: Duration = Duration::from_secs(60);
const LOST: &str = "urn:clerkwork:problem:worker-lost";

/// A fleet in which half a second is a heartbeat, and a worker dead that was silent for a second.
fn quick(plan: Plan) -> Plan {
    plan.lease(Duration::from_secs(3))
}

async fn runs(api: &Api, job: &JobObject) {
    eventually("the job is seen running", LIMIT, async || {
        (api.job(job.id).await.status == Status::Running).then_some(())
    })
    .await;
}

async fn attempts(api: &Api, job: &JobObject) -> Vec<Value> {
    let path = format!("/jobs/{}/attempts", job.id);
    let mut attempts = api.json(Method::GET, &path, None).await;
    serde_json::from_value(attempts["attempts"].take()).unwrap()
}

#[tokio::test]
async fn a_job_whose_worker_is_killed_is_run_again_once_that_was_silent_for_two_heartbeats() {
    // The lease of a job that is not held would end after 90 s.
    let plan = Kind::Fleet.plan();
    let journal = plan.journal("runs");
    let script = format!(
        "{}; [ -e '{m}' ] && exec cat; touch '{m}'; exec sleep 600",
        journal.note(),
        m = plan.file("first").display()
    );
    let mut system = plan.shell("long", 1, &script).start().await;
    let api = system.api();
    let job = api.send("long", json!(5)).await;
    runs(&api, &job).await;
    system.workers[0].kill().await;
    let killed = Instant::now();
    system.restart_worker(0).await;
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    assert_eq!((ended.attempt, journal.lines().len()), (2, 2));
    let took = killed.elapsed();
    // Or after 40 s, where a clerk was late once: then nobody acts on silence for the next 30.
    assert!(took < Duration::from_secs(60), "run again after {took:?}");
    let attempts = attempts(&api, &job).await;
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0]["error"]["type"], LOST);
    assert_ne!(attempts[0]["worker"], attempts[1]["worker"]);
}

#[tokio::test]
async fn a_job_that_kills_its_workers_fails_after_its_starts_and_its_neighbours_succeed() {
    const GOOD: usize = 200;
    let plan = quick(Kind::Fleet.plan());
    let journal = plan.journal("runs");
    // A command's parent is its guard, whose parent is the worker.
    let script = format!(
        "read -r x; case $x in *poison*) {}; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 5;; esac; echo \"$x\"",
        journal.note()
    );
    let mut system = plan.shell("work", 4, &script).start().await;
    system.add_worker(0).await;
    let api = system.api();
    let mut jobs: Vec<Value> = (0..GOOD)
        .map(|number| json!({"queue": "work", "input": number}))
        .collect();
    let poison = json!({"queue": "work", "input": "poison", "max_attempts": 3, "retry_delay_s": 0});
    jobs.insert(GOOD / 2, poison);
    let batch = Some(json!({"jobs": jobs}));
    let accepted = api.json(Method::POST, "/jobs/batch", batch).await;
    let accepted: Vec<JobObject> = serde_json::from_value(accepted["jobs"].clone()).unwrap();
    let poison = &accepted[GOOD / 2];
    let failed = async {
        while api.job(poison.id).await.status != Status::Failed {
            for index in 0..2 {
                if !system.workers[index].is_running() {
                    system.restart_worker(index).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, failed).await.unwrap();
    let ended = api.job(poison.id).await;
    let error = serde_json::to_value(ended.error.unwrap()).unwrap();
    assert_eq!(error["type"], LOST);
    // A start so short that nobody had heard of it is not counted.
    let starts = journal.lines().len();
    assert!((3..=4).contains(&starts), "{starts} starts");
    let tried = attempts(&api, poison).await;
    assert_eq!(tried.len(), 3, "{tried:?}");
    for index in 0..2 {
        if !system.workers[index].is_running() {
            system.restart_worker(index).await;
        }
    }
    for job in accepted.iter().filter(|job| job.id != poison.id) {
        let ended = api.ended_within(job, LIMIT).await;
        assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    }
}

/// Two workers; the first run waits for the file `first`, the second for the file `second`.
async fn two_runs(plan: Plan) -> (System, clerkwork_tests::Journal) {
    let journal = plan.journal("runs");
    let script = format!(
        "{}; n=second; mkdir '{d}' 2>/dev/null && n=first; \
         while [ ! -e '{d}'.$n ]; do sleep 0.05; done; echo \"\\\"$n\\\"\"",
        journal.note(),
        d = plan.file("run").display()
    );
    let mut system = plan.shell("long", 1, &script).start().await;
    system.add_worker(0).await;
    (system, journal)
}

fn let_end(system: &System, run: &str) {
    std::fs::write(system.folder().join(format!("run.{run}")), "").unwrap();
}

#[tokio::test]
async fn of_a_frozen_worker_and_its_successor_the_first_that_answers_wins_and_only_it() {
    for (winner, loser) in [("first", "second"), ("second", "first")] {
        let (mut system, journal) = two_runs(quick(Kind::Fleet.plan())).await;
        let api = system.api();
        let job = api.send("long", json!(1)).await;
        runs(&api, &job).await;
        // As long as its worker is known to live it is not run again, whatever the lease.
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(journal.lines().len(), 1);
        let path = format!("/jobs/{}/attempts", job.id);
        let owner = api.json(Method::GET, &path, None).await["attempts"][0]["worker"].clone();
        let workers = api.json(Method::GET, "/workers", None).await;
        let listed = workers["workers"].as_array().unwrap();
        let worker = listed.iter().find(|worker| worker["id"] == owner).unwrap();
        let pid = worker["pid"].as_i64().unwrap();
        let frozen = system.workers.iter().find(|it| i64::from(it.pid()) == pid);
        let frozen = frozen.unwrap();
        frozen.signal(Signal::SIGSTOP);
        eventually("it is run again", LIMIT, async || {
            (journal.lines().len() == 2).then_some(())
        })
        .await;
        let last = if winner == "first" {
            frozen.signal(Signal::SIGCONT);
            let_end(&system, winner);
            let ended = api.ended_within(&job, LIMIT).await;
            let_end(&system, loser);
            ended
        } else {
            let_end(&system, winner);
            let ended = api.ended_within(&job, LIMIT).await;
            frozen.signal(Signal::SIGCONT);
            let_end(&system, loser);
            ended
        };
        assert_eq!(last.status, Status::Succeeded, "{last:?}");
        // Both have answered once they are gone, and all is recorded once a later job is.
        for worker in &mut system.workers {
            worker.terminate().await;
        }
        system.add_worker(0).await;
        let later = api.run("long", json!(2)).await;
        assert_eq!(later.status, Status::Succeeded);
        let last = api.job(job.id).await;
        assert_eq!(last.output.unwrap().get(), format!("\"{winner}\""));
        assert_eq!(journal.lines().len(), 3, "two runs, and the later job's");
    }
}

#[tokio::test]
async fn a_long_job_whose_workers_connection_is_closed_runs_once() {
    let Some(own) = Own::start().await else {
        return;
    };
    let (system, journal) = two_runs(Kind::Fleet.plan().on(own.services())).await;
    let api = system.api();
    let job = api.send("long", json!(1)).await;
    runs(&api, &job).await;
    for _ in 0..2 {
        own.rabbit.control(&["close_all_connections", "test"]).await;
        // Whoever is given the job has time to be answered, and its worker would be taken for silent by then.
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(journal.lines().len(), 1, "it still runs, once");
        assert_eq!(api.job(job.id).await.status, Status::Running);
    }
    let_end(&system, "first");
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!((ended.attempt, journal.lines().len()), (1, 1));
}

#[tokio::test]
async fn a_job_that_runs_when_its_dispatch_is_made_anew_goes_on_and_may_be_held() {
    let plan = Kind::Fleet.plan().lease(Duration::from_secs(15));
    let plan = plan.worker_setting("hold-after", "6s");
    let (journal, gate) = (plan.journal("runs"), plan.file("gate"));
    let wait = format!("until [ -e '{}' ]; do sleep 0.1; done", gate.display());
    let script = format!("{}; {wait}; cat", journal.note());
    let system = plan.shell("long", 2, &script).start().await;
    let api = system.api();
    let spec = json!({"queue": "long", "input": 1, "max_attempts": 1});
    let job = api.submit(&spec).await;
    runs(&api, &job).await;
    // As it is where a clerk is taken over before the start of what it dispatched is on record.
    let doubt = "update jobs set state = 1, rev = rev + 1, doubts = 1, started_at = null, wake_at = null, clerk = null, \
         number = null, worker = null where id = $1 and state = 3";
    let mut session = PgConnection::connect(&system.store()).await.unwrap();
    let doubt = sqlx::query(doubt).bind(job.id.uuid());
    assert_eq!(
        doubt.execute(&mut session).await.unwrap().rows_affected(),
        1
    );
    let held = "select held from jobs where id = $1 and state = 3";
    eventually("it is held", LIMIT, async || {
        let held = sqlx::query_scalar(held).bind(job.id.uuid());
        let held: Option<bool> = held.fetch_optional(&mut session).await.unwrap();
        (held == Some(true)).then_some(())
    })
    .await;
    std::fs::write(gate, "").unwrap();
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    assert_eq!(
        (ended.attempt, journal.lines().len()),
        (2, 1),
        "it was dispatched twice and ran once"
    );
}

#[tokio::test]
async fn a_message_that_is_delivered_five_times_has_one_outcome() {
    let system = Kind::Fleet.plan().queue("idle").start().await;
    let api = system.api();
    let bus = system.bus().await;
    let queue = bus.names().jobs("idle");
    let job = api.send("idle", json!("x")).await;
    let (correlation, body) =
        eventually("it is on the queue", LIMIT, async || bus.take(&queue).await).await;
    for _ in 0..5 {
        let message = BasicProperties::default()
            .with_correlation_id(correlation.as_str().into())
            .with_message_id(format!("{}:1", job.id).into())
            .with_reply_to(bus.names().replies().into())
            .with_content_type("application/json".into());
        bus.publish("", &queue, message, &body).await;
    }
    let journal = clerkwork_tests::Journal::new(system.folder(), "runs");
    let script = format!("{}; cat; sleep 0.3", journal.note());
    let words = ["sh", "-c", script.as_str()];
    let one = system.late_worker("idle*2", &words).await;
    let two = system.late_worker("idle*2", &words).await;
    let ended = api.ended_within(&job, LIMIT).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
    eventually("nothing is left", LIMIT, async || {
        (bus.depth(&queue).await == 0).then_some(())
    })
    .await;
    // Each worker runs it once at most.
    assert!((1..=2).contains(&journal.lines().len()));
    let again = api.job(job.id).await;
    assert_eq!(again.finished_at, ended.finished_at);
    bus.close().await;
    drop((one, two));
}
