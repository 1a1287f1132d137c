//! Jobs that take longer than the broker lets a delivery wait.

use std::time::{Duration, Instant};

use clerkwork_core::Status;
use clerkwork_tests::own::Own;
use clerkwork_tests::{Kind, Plan, eventually};
use serde_json::json;

/// How long the broker lets a delivery wait, of which a busy machine needs some; it looks every second.
const CONSUMER_TIMEOUT: &str = "application:set_env(rabbit, consumer_timeout, 20000), \
     application:set_env(rabbit, channel_tick_interval, 1000).";

const LIMIT: Duration = Duration::from_secs(120);

fn holding(plan: Plan, lease: Duration) -> Plan {
    plan.worker_setting("hold-after", "1s").lease(lease)
}

#[tokio::test]
async fn a_job_longer_than_the_consumer_timeout_runs_once_and_succeeds() {
    let Some(own) = Own::start().await else {
        return;
    };
    own.rabbit.eval(CONSUMER_TIMEOUT).await;
    let plan = Kind::Fleet.plan().on(own.services());
    let plan = holding(plan, Duration::from_secs(15));
    let journal = plan.journal("runs");
    let script = format!("{}; sleep 40; cat", journal.note());
    let system = plan.shell("long", 2, &script).start().await;
    let job = system
        .api()
        .run("long", json!({"minutes": "several"}))
        .await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!((job.attempt, journal.lines().len()), (1, 1));
    assert!(
        !own.rabbit.has_logged("consumer ack timed out"),
        "the broker had to act"
    );
    drop(system);
    acts_on_what_nobody_acknowledges(&own).await;
}

/// The broker would have acted: it does on the same job at a worker that never hands it to the lease.
async fn acts_on_what_nobody_acknowledges(own: &Own) {
    let plan = Kind::Fleet
        .plan()
        .on(own.services())
        .worker_setting("hold-after", "20m");
    let system = plan.shell("long", 1, "sleep 40; cat").start().await;
    system.api().send("long", json!(1)).await;
    eventually("the broker acts", LIMIT, async || {
        own.rabbit.has_logged("timed out").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_held_job_whose_worker_is_killed_is_rescued_within_its_lease() {
    let Some(own) = Own::start().await else {
        return;
    };
    let plan = Kind::Fleet.plan().on(own.services());
    let plan = holding(plan, Duration::from_secs(2));
    let journal = plan.journal("runs");
    // The first run hangs, the second answers.
    let script = format!(
        "{}; [ -e '{m}' ] && exec cat; touch '{m}'; exec sleep 600",
        journal.note(),
        m = plan.file("first").display()
    );
    let mut system = plan.shell("long", 1, &script).start().await;
    let api = system.api();
    let spec = json!({"queue": "long", "input": 5, "retry_delay_s": 0});
    let job = api.submit(&spec).await;
    eventually("the job is held", LIMIT, async || {
        let running = api.job(job.id).await.status == Status::Running;
        // The broker is rid of the delivery: from here on only the lease guards the job.
        (running && own.rabbit.unacknowledged().await == 0).then_some(())
    })
    .await;
    system.workers[0].kill().await;
    let killed = Instant::now();
    system.add_worker(0).await;
    let job = api.ended_within(&job, LIMIT).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!((job.attempt, journal.lines().len()), (2, 2));
    let rescued = killed.elapsed();
    assert!(
        rescued < Duration::from_secs(30),
        "rescued after {rescued:?}"
    );
}
