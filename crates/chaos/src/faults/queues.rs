//! What can be done to the broker's queue of jobs behind everybody's back.

use clerkwork_tests::Bus;

use crate::fleet::{Fleet, PREFIX};
use crate::worker::QUEUE;

pub(super) async fn delete(fleet: &Fleet) {
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    bus.delete(&bus.names().jobs(QUEUE)).await;
    bus.close().await;
}

pub(super) async fn purge(fleet: &Fleet) {
    let bus = Bus::connect(&fleet.own.rabbit.url(), PREFIX).await;
    bus.purge(&bus.names().jobs(QUEUE)).await;
    bus.close().await;
}
