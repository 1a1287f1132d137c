//! What the broker gave up delivering: no job is lost, and none is failed for it.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, eventually};
use lapin::BasicProperties;
use serde_json::json;

#[tokio::test]
async fn a_job_that_a_worker_rejected_is_dispatched_anew_and_has_not_failed() {
    let plan = Kind::Fleet.plan();
    let gate = plan.file("gate");
    let script = format!(
        "while [ ! -e '{}' ]; do sleep 0.05; done; cat",
        gate.display()
    );
    let system = plan.shell("idle", 1, &script).start().await;
    let api = system.api();
    let bus = system.bus().await;
    let queue = bus.names().jobs("idle");
    let limit = Duration::from_secs(60);
    // The worker reports, and has no room for another one.
    let first = api.send("idle", json!(1)).await;
    eventually("the worker is busy", limit, async || {
        (api.job(first.id).await.status == Status::Running).then_some(())
    })
    .await;
    let only_try = json!({"queue": "idle", "input": "hello", "max_attempts": 1});
    let job = api.submit(&only_try).await;
    // Twice, since it is the same job that comes back.
    for _ in 0..2 {
        eventually("it is on the queue", limit, async || {
            bus.reject(&queue).await.then_some(())
        })
        .await;
    }
    std::fs::write(gate, "").unwrap();
    let ended = api.ended(&job).await;
    assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    assert_eq!(ended.attempt, 3);
    bus.close().await;
}

#[tokio::test]
async fn a_reply_that_no_clerk_could_settle_is_recorded_all_the_same() {
    let system = Kind::Fleet.plan().queue("idle").start().await;
    let api = system.api();
    let bus = system.bus().await;
    let queue = bus.names().jobs("idle");
    let job = api.send("idle", json!(1)).await;
    let (correlation, _) = eventually("it is on the queue", Duration::from_secs(20), async || {
        bus.take(&queue).await
    })
    .await;
    let reply = BasicProperties::default()
        .with_correlation_id(correlation.as_str().into())
        .with_content_type("application/json".into());
    bus.publish("", &bus.names().dead(), reply, b"42").await;
    let ended = api.ended(&job).await;
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!(ended.output.unwrap().get(), "42");
    bus.close().await;
}
