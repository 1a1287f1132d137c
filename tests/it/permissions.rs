//! The broker's permissions that PROTOCOL.md names: with these and no others, clerks and workers do all they must.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::own::{self, Rabbit};
use clerkwork_tests::{Bus, Kind, eventually, repository};
use lapin::BasicProperties;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
/// The prefix in PROTOCOL.md.
const PREFIX: &str = "clerkwork";

/// Makes a user with the permissions of a role, and returns the URL for it.
async fn account(rabbit: &Rabbit, role: &str, user: &str, queue: &str) -> String {
    let protocol = std::fs::read_to_string(repository().join("PROTOCOL.md")).unwrap();
    let row = format!("| {role} | `^");
    let row = protocol.lines().find(|line| line.starts_with(&row));
    let row = row.expect("PROTOCOL.md has a row for the role");
    let row = row
        .replace(r"\.W\.", &format!(r"\.{user}\."))
        .replace(r"jobs\.q", &format!(r"jobs\.{queue}"));
    // A bar also stands inside of the patterns, so it is the backticks that part them.
    let patterns: Vec<_> = row.split('`').skip(1).step_by(2).collect();
    assert_eq!(patterns.len(), 3, "configure, write and read: {row}");
    rabbit.control(&["add_user", user, "secret"]).await;
    let set = [&["set_permissions", user], patterns.as_slice()].concat();
    rabbit.control(&set).await;
    rabbit
        .url()
        .replace("guest:guest", &format!("{user}:secret"))
}

#[tokio::test]
async fn a_job_is_run_retried_and_cancelled_with_no_more_than_the_permissions_of_the_protocol() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let rabbit = Rabbit::start().await;
    let clerk = account(&rabbit, "clerk", "front", "").await;
    let worker = account(&rabbit, "full worker", "runner", "full").await;
    let plain = account(&rabbit, "plain worker", "script", "plain").await;
    let services = rabbit.services();
    let script = r#"input=$(cat)
        [ "$input" = '"long"' ] && exec sleep 600
        [ "$CLERKWORK_ATTEMPT" = 1 ] && exit 75
        printf %s "$input""#;
    let plan = Kind::Fleet
        .plan()
        .on(services)
        .clerk_setting("prefix", PREFIX)
        .clerk_setting("broker", &clerk)
        .worker_setting("prefix", PREFIX)
        .worker_setting("broker", &worker)
        .worker_setting("clerk-user", "front");
    let system = plan.shell("full", 2, script).queue("plain").start().await;
    let (api, peer) = (system.clerk(0), system.clerk(1));

    let spec = json!({"queue": "full", "input": "hello", "retry_delay_s": 0});
    let job = peer.ended(&api.submit(&spec).await).await;
    assert_eq!((job.status, job.attempt), (Status::Succeeded, 2), "{job:?}");
    assert_eq!(job.output.unwrap().get(), r#""hello""#);

    let job = api.send("full", json!("long")).await;
    eventually("the job is seen running", SOON, async || {
        (peer.job(job.id).await.status == Status::Running).then_some(())
    })
    .await;
    peer.cancel(job.id).await;
    assert_eq!(api.ended(&job).await.status, Status::Cancelled);

    let job = api.send("plain", json!(1)).await;
    let bus = Bus::connect(&plain, PREFIX).await;
    let deliveries = bus.names().jobs("plain");
    let (correlation, input) = eventually("the job is there", SOON, async || {
        bus.take(&deliveries).await
    })
    .await;
    let reply = BasicProperties::default()
        .with_correlation_id(correlation.into())
        .with_delivery_mode(2);
    bus.publish("", &bus.names().replies(), reply, &input).await;
    assert_eq!(peer.ended(&job).await.status, Status::Succeeded);
    bus.close().await;
}
