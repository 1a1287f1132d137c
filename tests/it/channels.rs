//! A broker that allows few channels on a connection, and few queues.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::own::{self, Rabbit};
use clerkwork_tests::{Kind, eventually};
use reqwest::Method;
use serde_json::json;

/// New queues, far more than a connection has channels.
const NEW: usize = 40;
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn with_eight_channels_a_fleet_makes_many_queues_and_dispatches_to_all() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let rabbit = Rabbit::start_set("channel_max = 8").await;
    let plan = Kind::Fleet.plan().on(rabbit.services());
    let system = plan.command("work", 2, &["cat"]).start().await;
    let api = system.api();
    assert_eq!(api.run("work", json!(0)).await.status, Status::Succeeded);
    for number in 0..NEW {
        let path = format!("/queues/new.{number}");
        system
            .clerk(number % 2)
            .json(Method::PUT, &path, None)
            .await;
    }
    // What one clerk has declared the other one looks for.
    let last = format!("new.{}", NEW - 1);
    let _first = system.late_worker("new.0", &["cat"]).await;
    let _last = system.late_worker(&last, &["cat"]).await;
    for clerk in 0..2 {
        let api = system.clerk(clerk);
        for queue in ["work", "new.0", &last] {
            let job = eventually("the queue is known", LIMIT, async || {
                let spec = json!({"queue": queue, "input": 1});
                let answer = api.try_submit(&spec).await.ok()?;
                (answer.status().as_u16() == 202).then_some(answer)
            });
            let job = job.await.json().await.unwrap();
            let ended = api.ended_within(&job, LIMIT).await;
            assert_eq!(ended.status, Status::Succeeded, "{queue}");
        }
        let (status, ready) = api.look("/readyz").await.unwrap();
        assert_eq!((status, &ready["broker"]), (200, &json!("up")), "{ready}");
    }
    // The broker's own limit on queues is no mismatch.
    let limits = ["set_vhost_limits", "-p", "/", r#"{"max-queues": 1}"#];
    rabbit.control(&limits).await;
    let refusal = api.refusal(api.request(Method::PUT, "/queues/over")).await;
    assert_eq!(
        (refusal.status, &*refusal.kind),
        (409, "urn:clerkwork:problem:queue-refused")
    );
    let detail = refusal.detail.unwrap_or_default();
    assert!(detail.contains("queue limit"), "{detail}");
    assert!(!detail.contains("other arguments"), "{detail}");
    assert_eq!(api.run("work", json!(2)).await.status, Status::Succeeded);
}
