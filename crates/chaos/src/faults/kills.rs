//! Processes and servers that are killed or told to end, and started again.

use std::time::Duration;

use clerkwork_tests::Bus;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::Whom;
use crate::Failure;
use crate::fleet::{Fleet, PREFIX};

/// How long a broker that answers may take until its queues do.
const WHOLE: Duration = Duration::from_secs(45);
/// How long it may take to answer one question.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) async fn kill(fleet: &mut Fleet, whom: Whom) {
    match whom {
        Whom::Clerk(index) => {
            if let Some(mut process) = fleet.clerks[index].process.take() {
                process.kill().await;
            }
        }
        Whom::Worker(index) => {
            if let Some(mut process) = fleet.workers[index].process.take() {
                process.kill().await;
            }
        }
        Whom::Broker => fleet.own.rabbit.kill().await,
        Whom::Postgres => fleet.own.postgres.kill(),
    }
}

pub(super) async fn kill_all_clerks(fleet: &mut Fleet) {
    let clerks = fleet.clerks.iter_mut();
    let clerks = clerks.filter_map(|clerk| clerk.process.take());
    join_all(clerks.map(async |mut process| process.kill().await)).await;
}

/// Servers are not told to end: for them it is a kill.
pub(super) async fn terminate(fleet: &mut Fleet, whom: Whom) {
    let member = match whom {
        Whom::Clerk(index) => &mut fleet.clerks[index],
        Whom::Worker(index) => &mut fleet.workers[index],
        Whom::Broker | Whom::Postgres => return kill(fleet, whom).await,
    };
    if let Some(mut process) = member.process.take() {
        process.terminate().await;
    }
}

pub(super) async fn start(fleet: &mut Fleet, whom: Whom) -> Result<(), Failure> {
    match whom {
        Whom::Clerk(index) => fleet.start_clerk(index).await,
        Whom::Worker(index) => fleet.start_worker(index).await?,
        Whom::Broker => start_broker(fleet).await?,
        Whom::Postgres => fleet.own.postgres.run().await,
    }
    Ok(())
}

pub(super) async fn start_all_clerks(fleet: &mut Fleet) {
    for index in 0..fleet.clerks.len() {
        fleet.start_clerk(index).await;
    }
}

/// RabbitMQ 3.10 does not always come back whole after a kill: then it is started once more, as an operator would.
async fn start_broker(fleet: &mut Fleet) -> Result<(), Failure> {
    fleet.own.rabbit.run().await;
    if is_whole(fleet).await {
        return Ok(());
    }
    println!("RabbitMQ answers and its queues do not after a kill: it is started a second time");
    fleet.own.rabbit.kill().await;
    fleet.own.rabbit.run().await;
    if is_whole(fleet).await {
        return Ok(());
    }
    Err("RabbitMQ's queues did not come back with a second start".into())
}

/// Whether the queues of jobs and replies answer, in time.
pub(super) async fn is_whole(fleet: &Fleet) -> bool {
    let url = fleet.own.rabbit.url();
    let end = Instant::now() + WHOLE;
    while Instant::now() < end {
        let asked = timeout(ANSWER, async {
            let bus = Bus::try_connect(&url, PREFIX).await.ok()?;
            for queue in &fleet.queues {
                bus.try_depth(&bus.names().jobs(queue)).await?;
            }
            bus.try_depth(&bus.names().replies()).await?;
            bus.close().await;
            Some(())
        });
        if matches!(asked.await, Ok(Some(()))) {
            return true;
        }
        sleep(Duration::from_millis(250)).await;
    }
    false
}
