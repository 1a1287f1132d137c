//! A broker whose queues with dead letters cannot come back, by a defect of its own: nothing is lost, and its restart mends it.

use std::time::Duration;

use clerkwork_tests::own::Own;
use clerkwork_tests::{Kind, Load, eventually};

use crate::crash::{HEALED, clerks, fleet};

/// How long RabbitMQ may take to break a queue on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// RabbitMQ does that to itself where a queue is deleted in the moment in which it is made.
const END_OF_DEAD_LETTERS: &str =
    "ok = supervisor:terminate_child(rabbit_sup, rabbit_fifo_dlx_sup).";

#[tokio::test]
async fn jobs_of_a_queue_that_the_broker_has_stranded_are_accepted_and_run_after_its_restart() {
    let Some(mut own) = Own::start().await else {
        return;
    };
    let services = own.services();
    let (system, _journal) = fleet(Kind::Fleet.plan().on(services)).await;
    let load = Load::start(4, "work", &clerks(&system));
    load.accept(20).await;
    own.rabbit.eval(END_OF_DEAD_LETTERS).await;
    let bus = system.bus().await;
    bus.delete(&bus.names().jobs("work")).await;
    bus.close().await;
    eventually("the queue is stranded", SOON, async || {
        own.rabbit.has_logged("{noproc,").then_some(())
    })
    .await;
    load.accept(20).await;
    own.rabbit.kill().await;
    own.rabbit.run().await;
    load.accept(20).await;
    let seen = load.stop().await;
    seen.refused_nothing_else();
    seen.all_succeed(&clerks(&system), HEALED).await;
}
