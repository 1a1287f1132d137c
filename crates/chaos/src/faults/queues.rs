//! Faults of the broker's queues: deleted, purged, dropping jobs, and many new ones.

use std::time::Duration;

use clerkwork_tests::Bus;
use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tokio::time::sleep;

use super::kills;
use crate::Failure;
use crate::fleet::{Fleet, PREFIX};

/// How long a queue is left alone before it is deleted. Where that happens in the moment in which it is made, RabbitMQ
/// may lose the supervisor of all dead letters (its issue 16652), and with it every such queue until its restart.
const SETTLED: Duration = Duration::from_secs(1);
/// The longest that a clerk may take to declare a queue.
const ANSWER: Duration = Duration::from_secs(20);

/// Deletes the queues of jobs once they have been there for a while; one that does not come is left to the checker.
pub(super) async fn delete(fleet: &Fleet) {
    if !kills::is_whole(fleet).await {
        return;
    }
    sleep(SETTLED).await;
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    for queue in &fleet.queues {
        bus.delete(&bus.names().jobs(queue)).await;
    }
    bus.close().await;
}

pub(super) async fn purge(fleet: &Fleet) {
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    for queue in &fleet.queues {
        bus.purge(&bus.names().jobs(queue)).await;
    }
    bus.close().await;
}

/// The jobs that a policy makes the queue drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drops {
    /// Those that have waited for two seconds.
    Late,
    /// The oldest beyond five.
    Many,
}

/// The name of the policy.
const POLICY: &str = "drops";
/// The queues that are made at a time, and the tries that each has.
const AT_A_TIME: usize = 8;
const TRIES: usize = 20;

/// Sets the policy.
pub(super) async fn drop_jobs(fleet: &Fleet, drops: Drops) {
    let limits = match drops {
        Drops::Late => r#"{"message-ttl":2000}"#,
        Drops::Many => r#"{"max-length":5}"#,
    };
    let pattern = format!("^{PREFIX}\\.jobs\\.");
    let words = [
        "set_policy",
        "--apply-to",
        "queues",
        POLICY,
        &pattern,
        limits,
    ];
    fleet.own.rabbit.control(&words).await;
}

/// Takes the policy away again.
pub(super) async fn keep_jobs(fleet: &Fleet) {
    fleet.own.rabbit.control(&["clear_policy", POLICY]).await;
}

/// Declares queues at all clerks, several at a time.
pub(super) async fn make(fleet: &Fleet, step: usize, count: usize) -> Result<(), Failure> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let nodes = fleet.nodes();
    let made = futures_util::stream::iter(0..count).map(|number| {
        let node = &nodes[number % nodes.len()];
        let url = format!("{}/v1/queues/new-{step}-{number}", node.base);
        declare(&http, url)
    });
    let mut made = made.buffer_unordered(AT_A_TIME);
    while let Some(made) = made.next().await {
        made?;
    }
    Ok(())
}

/// Declares a queue, again where a clerk says that it cannot at the moment.
async fn declare(http: &reqwest::Client, url: String) -> Result<(), Failure> {
    for _ in 0..TRIES {
        // A clerk that was just killed answers nothing; to declare a queue twice is to declare it.
        if let Ok(answer) = http.put(&url).timeout(ANSWER).send().await {
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            if status != StatusCode::SERVICE_UNAVAILABLE {
                return Err(format!("{url} could not be declared: {status}").into());
            }
        }
        sleep(SETTLED).await;
    }
    Err(format!("{url} was not declared in {TRIES} tries").into())
}
