//! Processes and servers that are killed or told to end, and started again.

use futures_util::future::join_all;

use super::Whom;
use crate::Failure;
use crate::fleet::Fleet;

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
        Whom::Broker => fleet.own.rabbit.run().await,
        Whom::Postgres => fleet.own.postgres.run().await,
    }
    Ok(())
}

pub(super) async fn start_all_clerks(fleet: &mut Fleet) {
    for index in 0..fleet.clerks.len() {
        fleet.start_clerk(index).await;
    }
}
