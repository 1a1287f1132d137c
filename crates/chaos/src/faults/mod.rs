//! The faults: what is done to the fleet, and how it is undone.

mod kills;
mod pauses;
mod queues;
mod servers;
mod ways;

use std::fmt;
use std::sync::Arc;

use crate::Failure;
use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::recorder::Recorder;
use crate::rig::{Break, Link};
use crate::stranger::Stranger;

pub(crate) use queues::Drops;

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
    /// The broker's queues of jobs are deleted.
    QueueDeleted,
    /// They are emptied.
    QueuePurged,
    /// A policy makes them drop jobs, and all clerks are dead meanwhile.
    Drops(Drops),
    /// Queues are made: by a number that sets their names apart from those of other steps, and how many.
    NewQueues(usize, usize),
    /// The broker believes that its memory is full.
    MemoryAlarm,
    /// Every session of PostgreSQL is ended.
    TerminateBackends,
    /// PostgreSQL takes no writes.
    ReadOnly,
    /// A process's way to a server is cut.
    Cut(Link, Break),
    /// The machine of a clerk is lost: what it sends to the broker does not come through any more, then it is gone.
    Vanish(usize),
    /// A clerk stands still until others have taken it over, goes on, and is lost like that.
    FreezeAndVanish(usize),
    /// What PostgreSQL and RabbitMQ write takes so many milliseconds longer to reach the disk.
    SlowDisk(u64),
    /// A stranger publishes copies of jobs and replies.
    Duplicates,
    /// A stranger who knows ids and not the seal answers jobs.
    ForgedReplies,
    /// A clerk's wall clock is so many seconds wrong.
    ClockJump(usize, i64),
}

impl Fault {
    pub(crate) async fn inject(
        self,
        fleet: &mut Fleet,
        recorder: &Arc<Recorder>,
        dice: Dice,
    ) -> Result<(), Failure> {
        match self {
            Self::Kill(whom) => kills::kill(fleet, whom).await,
            Self::KillAllClerks => kills::kill_all_clerks(fleet).await,
            Self::Restart(whom) => kills::terminate(fleet, whom).await,
            Self::Pause(whom) => pauses::stop(fleet, whom),
            Self::BrokerDataLost => fleet.own.rabbit.lose_data().await,
            Self::QueueDeleted => queues::delete(fleet).await,
            Self::QueuePurged => queues::purge(fleet).await,
            Self::Drops(drops) => {
                queues::drop_jobs(fleet, drops).await;
                kills::kill_all_clerks(fleet).await;
            }
            Self::NewQueues(step, count) => queues::make(fleet, step, count).await?,
            Self::MemoryAlarm => servers::alarm(fleet, true).await,
            Self::TerminateBackends => servers::terminate_backends(fleet).await,
            Self::ReadOnly => servers::read_only(fleet, true).await,
            Self::Cut(link, how) => ways::cut(fleet, link, how),
            Self::Vanish(clerk) => ways::vanish(fleet, clerk).await,
            Self::FreezeAndVanish(clerk) => ways::freeze_and_vanish(fleet, clerk).await,
            Self::SlowDisk(ms) => servers::slow_disk(fleet, ms)?,
            Self::Duplicates => fleet.stranger = Some(Stranger::copies(fleet, dice).await?),
            Self::ForgedReplies => {
                fleet.stranger = Some(Stranger::forges(fleet, recorder, dice).await?);
            }
            Self::ClockJump(clerk, seconds) => servers::set_clock(fleet, clerk, seconds)?,
        }
        Ok(())
    }

    pub(crate) async fn heal(self, fleet: &mut Fleet) -> Result<(), Failure> {
        match self {
            Self::Kill(whom) | Self::Restart(whom) => kills::start(fleet, whom).await?,
            Self::KillAllClerks => kills::start_all_clerks(fleet).await,
            Self::Pause(whom) => pauses::go_on(fleet, whom),
            Self::BrokerDataLost => fleet.own.rabbit.run().await,
            Self::MemoryAlarm => {
                let looked = servers::none_consumes_blocked(fleet).await;
                servers::alarm(fleet, false).await;
                looked?;
            }
            Self::ReadOnly => servers::read_only(fleet, false).await,
            Self::Cut(link, _) => ways::mend(fleet, link),
            Self::Vanish(clerk) | Self::FreezeAndVanish(clerk) => {
                ways::mend(fleet, Link::ClerkBroker(clerk));
                fleet.start_clerk(clerk).await;
            }
            Self::SlowDisk(_) => servers::slow_disk(fleet, 0)?,
            Self::Duplicates | Self::ForgedReplies => fleet.stranger = None,
            Self::ClockJump(clerk, _) => servers::set_clock(fleet, clerk, 0)?,
            Self::Drops(_) => {
                kills::start_all_clerks(fleet).await;
                queues::keep_jobs(fleet).await;
            }
            Self::QueueDeleted
            | Self::QueuePurged
            | Self::NewQueues(..)
            | Self::TerminateBackends => {}
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
