//! The faults: what is done to the fleet, and how it is undone.

mod kills;
mod pauses;
mod queues;
mod servers;

use std::fmt;

use crate::Failure;
use crate::fleet::Fleet;

/// A process of the fleet or a server of it, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    Clerk(usize),
    Worker(usize),
    Broker,
    Postgres,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is killed with SIGKILL, and started again.
    Kill(Whom),
    /// All clerks are killed at once.
    KillAllClerks,
    /// It is told to end with SIGTERM, and started again.
    Restart(Whom),
    /// It is stopped with SIGSTOP for a while.
    Pause(Whom),
    /// The broker is killed and loses all that it has stored.
    BrokerDataLost,
    /// The broker's queue of jobs is deleted.
    QueueDeleted,
    /// It is emptied.
    QueuePurged,
    /// The broker believes that its memory is full.
    MemoryAlarm,
    /// Every session of PostgreSQL is ended.
    TerminateBackends,
    /// PostgreSQL takes no writes.
    ReadOnly,
}

impl Fault {
    pub(crate) async fn inject(self, fleet: &mut Fleet) -> Result<(), Failure> {
        match self {
            Self::Kill(whom) => kills::kill(fleet, whom).await,
            Self::KillAllClerks => kills::kill_all_clerks(fleet).await,
            Self::Restart(whom) => kills::terminate(fleet, whom).await,
            Self::Pause(whom) => pauses::stop(fleet, whom),
            Self::BrokerDataLost => fleet.own.rabbit.lose_data().await,
            Self::QueueDeleted => queues::delete(fleet).await,
            Self::QueuePurged => queues::purge(fleet).await,
            Self::MemoryAlarm => servers::alarm(fleet, true),
            Self::TerminateBackends => servers::terminate_backends(fleet).await,
            Self::ReadOnly => servers::read_only(fleet, true).await,
        }
        Ok(())
    }

    pub(crate) async fn heal(self, fleet: &mut Fleet) -> Result<(), Failure> {
        match self {
            Self::Kill(whom) | Self::Restart(whom) => kills::start(fleet, whom).await?,
            Self::KillAllClerks => kills::start_all_clerks(fleet).await,
            Self::Pause(whom) => pauses::go_on(fleet, whom),
            Self::BrokerDataLost => fleet.own.rabbit.run().await,
            Self::MemoryAlarm => servers::alarm(fleet, false),
            Self::ReadOnly => servers::read_only(fleet, false).await,
            Self::QueueDeleted | Self::QueuePurged | Self::TerminateBackends => {}
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
