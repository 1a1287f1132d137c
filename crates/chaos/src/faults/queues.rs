//! What can be done to the broker's queue of jobs behind everybody's back.

use std::time::Duration;

use clerkwork_tests::Bus;
use tokio::time::sleep;

use super::kills;
use crate::fleet::{Fleet, PREFIX};
use crate::worker::QUEUE;

/// How long a queue is left alone before it is deleted. Where that happens in the moment in which it is made, RabbitMQ
/// may lose the supervisor of all dead letters (its issue 16652), and with it every such queue until its restart.
const SETTLED: Duration = Duration::from_secs(1);

/// Deletes the queue once it has been there for a while; one that does not come is left to the checker.
pub(super) async fn delete(fleet: &Fleet) {
    if !kills::is_whole(fleet).await {
        return;
    }
    sleep(SETTLED).await;
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    bus.delete(&bus.names().jobs(QUEUE)).await;
    bus.close().await;
}

pub(super) async fn purge(fleet: &Fleet) {
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    bus.purge(&bus.names().jobs(QUEUE)).await;
    bus.close().await;
}
