//! The profiles: which faults come one after the other, and by which rules the history is judged.

use std::time::Duration;

use clap::ValueEnum;
use clerkwork_checker::Rules;
use clerkwork_faults::Defect;

use crate::dice::Dice;
use crate::faults::{Drops, Fault, Whom};
use crate::fleet::{Needs, Size};
use crate::rig::{Break, Link};

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Nothing goes wrong.
    Control,
    /// Clerks are killed, one or all of them.
    KillClerks,
    /// Workers are killed.
    KillWorkers,
    /// RabbitMQ is killed.
    KillBroker,
    /// RabbitMQ is away for ten minutes, once.
    BrokerAway,
    /// PostgreSQL is killed.
    KillPostgres,
    /// Clerks, workers and servers stand still.
    Pauses,
    /// The broker's memory alarm.
    MemoryAlarm,
    /// RabbitMQ loses its data.
    BrokerDataLost,
    /// The queue of jobs is deleted.
    QueueDeleted,
    /// The queue of jobs is purged.
    QueuePurged,
    /// A policy makes the queue of jobs drop what waits, while all clerks are dead.
    DropPolicies,
    /// 1,500 queues are made under load, a hundred at a time.
    ManyQueues,
    /// Clerks are killed and queues are made at a broker that allows 16 channels on a connection.
    FewChannels,
    /// PostgreSQL takes no writes.
    PostgresReadOnly,
    /// All sessions of PostgreSQL are ended.
    TerminateBackends,
    /// Clerks and workers are restarted in turn.
    RollingRestart,
    /// Ways between processes and servers are cut, one way or both, reset or slowed, and machines lost.
    Cuts,
    /// The disk of PostgreSQL and RabbitMQ is slow.
    SlowDisk,
    /// A stranger publishes copies of jobs and replies.
    Duplicates,
    /// A stranger who knows ids and not the seal answers jobs, and repeats good answers to others.
    ForgedReplies,
    /// Wall clocks of clerks jump by an hour.
    ClockJumps,
    /// Kills of everything, one a second after the fleet has come back from the one before.
    Storm,
    /// Any of them.
    Mix,
}

/// The queues that are made in a step, and the steps, where many are made; the rest of the run is load beside them.
const MANY: usize = 100;
const STEPS: usize = 15;
/// The queues that are made in a step where some are.
const SOME: usize = 20;

/// A fault, how long it lasts and how long nothing follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) fault: Fault,
    pub(crate) hold: Duration,
    pub(crate) rest: Duration,
}

impl Profile {
    /// The step that comes as the `number`th, from 0.
    pub(crate) fn step(self, number: usize, size: Size, dice: &mut Dice) -> Option<Step> {
        let clerk = Whom::Clerk(dice.index(size.clerks));
        let worker = Whom::Worker(dice.index(size.all_workers()));
        let member = if dice.chance(50) { clerk } else { worker };
        let (fault, hold) = match self {
            Self::Control => return None,
            Self::BrokerAway if number > 0 => return None,
            Self::BrokerAway => (Fault::Kill(Whom::Broker), Duration::from_secs(600)),
            Self::KillClerks if dice.chance(25) => (Fault::KillAllClerks, dice.millis(0, 3_000)),
            Self::KillClerks => (Fault::Kill(clerk), dice.millis(0, 6_000)),
            Self::KillWorkers => (Fault::Kill(worker), dice.millis(0, 4_000)),
            Self::KillBroker => (Fault::Kill(Whom::Broker), dice.millis(0, 10_000)),
            Self::KillPostgres => (Fault::Kill(Whom::Postgres), dice.millis(0, 6_000)),
            Self::Pauses => pause(clerk, worker, dice),
            Self::MemoryAlarm => (Fault::MemoryAlarm, dice.millis(6_000, 14_000)),
            Self::BrokerDataLost => (Fault::BrokerDataLost, dice.millis(0, 3_000)),
            Self::QueueDeleted => (Fault::QueueDeleted, Duration::ZERO),
            Self::QueuePurged => (Fault::QueuePurged, Duration::ZERO),
            Self::DropPolicies => drops(dice),
            Self::ManyQueues if number >= STEPS => return None,
            Self::ManyQueues => (Fault::NewQueues(number, MANY), Duration::ZERO),
            Self::FewChannels => make_or_kill(number, clerk, dice),
            Self::PostgresReadOnly => (Fault::ReadOnly, dice.millis(2_000, 8_000)),
            Self::TerminateBackends => (Fault::TerminateBackends, Duration::ZERO),
            Self::RollingRestart => {
                let whom = number % (size.clerks + size.all_workers());
                let whom = match whom.checked_sub(size.clerks) {
                    None => Whom::Clerk(whom),
                    Some(worker) => Whom::Worker(worker),
                };
                (Fault::Restart(whom), Duration::ZERO)
            }
            Self::Cuts => cut(size, dice),
            Self::SlowDisk => {
                let ms = 100 + dice.below(900);
                (Fault::SlowDisk(ms), dice.millis(3_000, 9_000))
            }
            Self::Duplicates => (Fault::Duplicates, dice.millis(4_000, 9_000)),
            Self::ForgedReplies => (Fault::ForgedReplies, dice.millis(4_000, 9_000)),
            Self::ClockJumps => {
                let hour = if dice.chance(50) { 3_600 } else { -3_600 };
                let clerk = dice.index(size.clerks);
                (Fault::ClockJump(clerk, hour), dice.millis(3_000, 9_000))
            }
            Self::Storm => {
                let all = [member, member, member, Whom::Broker, Whom::Postgres];
                (
                    Fault::Kill(all[dice.index(all.len())]),
                    dice.millis(0, 2_000),
                )
            }
            Self::Mix => return Self::any(dice).step(number, size, dice),
        };
        let rest = match self {
            Self::Storm => dice.millis(500, 1_500),
            Self::TerminateBackends => dice.millis(100, 1_500),
            _ => dice.millis(1_000, 4_000),
        };
        Some(Step { fault, hold, rest })
    }

    fn any(dice: &mut Dice) -> Self {
        const ALL: [Profile; 10] = [
            Profile::KillClerks,
            Profile::KillWorkers,
            Profile::KillBroker,
            Profile::KillPostgres,
            Profile::Pauses,
            Profile::MemoryAlarm,
            Profile::BrokerDataLost,
            Profile::QueueDeleted,
            Profile::PostgresReadOnly,
            Profile::TerminateBackends,
        ];
        ALL[dice.index(ALL.len())]
    }

    /// How long after the healing the last job may end. Where no message is lost at the broker, every job has a guard that acts
    /// within a lease, a takeover or a retry. Where one is, the check must find it, which comes once a minute after a margin
    /// of a minute.
    pub(crate) const fn drain(self) -> Duration {
        match self {
            Self::Control => Duration::from_secs(30),
            Self::QueuePurged | Self::DropPolicies => Duration::from_secs(360),
            Self::KillClerks
            | Self::KillWorkers
            | Self::Pauses
            | Self::MemoryAlarm
            | Self::QueueDeleted
            | Self::PostgresReadOnly
            | Self::TerminateBackends
            | Self::RollingRestart
            | Self::ManyQueues
            | Self::FewChannels
            | Self::Cuts
            | Self::SlowDisk
            | Self::Duplicates
            | Self::ForgedReplies
            | Self::ClockJumps => Duration::from_secs(45),
            _ => Duration::from_secs(180),
        }
    }

    /// What the fleet is started with.
    pub(crate) fn needs(self) -> Needs {
        Needs {
            links: match self {
                Self::Cuts => Some(0),
                // What is published while a queue is made anew comes back; so that is made to take a while.
                Self::QueueDeleted => Some(20),
                _ => None,
            },
            disk: self == Self::SlowDisk,
            clocks: self == Self::ClockJumps,
            commands: matches!(self, Self::KillWorkers | Self::QueuePurged | Self::Mix),
            broker: match self {
                Self::FewChannels => "channel_max = 16",
                _ => "",
            },
        }
    }

    /// What is asked of a history of it.
    pub(crate) fn rules(self, clerks: Vec<String>, seconds: u64, drain: Duration) -> Rules {
        let told = matches!(
            self,
            Self::Control
                | Self::KillWorkers
                | Self::RollingRestart
                | Self::ForgedReplies
                | Self::ClockJumps
        );
        let drain = i64::try_from(drain.as_millis()).unwrap_or(i64::MAX);
        Rules {
            clerks,
            once: self == Self::Control,
            cancel_grace_ms: told.then_some(1_000),
            // A worker that stands still may do so after it decided to start.
            late_ms: if told { 1_000 } else { 30_000 },
            drain_ms: Some(drain),
            webhooks: true,
            // Most clients wait for a job's end, which may come only after a broker's start of 10 s and more.
            least_accepted: seconds,
            least_faults: u64::from(self != Self::Control),
            ..Rules::default()
        }
    }

    /// Whether no worker is hurt, nor what only they know.
    pub(crate) const fn spares_workers(self) -> bool {
        matches!(
            self,
            Self::Control
                | Self::KillClerks
                | Self::KillBroker
                | Self::BrokerAway
                | Self::KillPostgres
                | Self::MemoryAlarm
                | Self::PostgresReadOnly
                | Self::TerminateBackends
                | Self::SlowDisk
                | Self::ForgedReplies
                | Self::ClockJumps
        )
    }

    /// The profile that finds a defect; `None` of one that a simulation or the store's conformance finds.
    pub(crate) const fn that_finds(defect: Defect) -> Option<Self> {
        Some(match defect {
            Defect::AckBeforeConfirm => Self::KillWorkers,
            Defect::AcceptBeforeCommit => Self::KillPostgres,
            Defect::NoWatermark | Defect::NoFence => Self::Cuts,
            Defect::LastWins => Self::Duplicates,
            Defect::NoSeal => Self::ForgedReplies,
            Defect::TransactionInHandler | Defect::NoticeBeforeCommit => Self::Control,
            Defect::ReturnedIsSuccess => Self::QueueDeleted,
            Defect::OneConnection => Self::MemoryAlarm,
            Defect::LeaseInOutage => Self::KillBroker,
            Defect::DeadlineHidesLoss => Self::QueuePurged,
            Defect::ReturnRaisesMargin => Self::DropPolicies,
            Defect::RefusedIsAway | Defect::RollbackBeforeVerdict | Defect::MismatchStopsAll => {
                return None;
            }
        })
    }
}

fn drops(dice: &mut Dice) -> (Fault, Duration) {
    let all = [Drops::Late, Drops::Many];
    let drops = all[dice.index(all.len())];
    (Fault::Drops(drops), dice.millis(3_000, 8_000))
}

fn make_or_kill(number: usize, clerk: Whom, dice: &mut Dice) -> (Fault, Duration) {
    if dice.chance(50) {
        (Fault::NewQueues(number, SOME), Duration::ZERO)
    } else {
        (Fault::Kill(clerk), dice.millis(0, 6_000))
    }
}

fn pause(clerk: Whom, worker: Whom, dice: &mut Dice) -> (Fault, Duration) {
    let all = [clerk, worker, Whom::Broker, Whom::Postgres];
    let whom = all[dice.index(all.len())];
    (Fault::Pause(whom), dice.millis(2_000, 14_000))
}

/// Of four faults of ways, one is the loss of a clerk's machine and one of a machine that was taken over before.
fn cut(size: Size, dice: &mut Dice) -> (Fault, Duration) {
    let clerk = dice.index(size.clerks);
    let links = [
        Link::ClerkBroker(clerk),
        Link::ClerkStore(clerk),
        Link::WorkerBroker(dice.index(size.all_workers())),
    ];
    let link = links[dice.index(links.len())];
    let breaks = [
        Break::Silent,
        Break::RequestsLost,
        Break::AnswersLost,
        Break::Reset,
        Break::Slow(100 + dice.below(900)),
    ];
    let how = breaks[dice.index(breaks.len())];
    match dice.below(4) {
        0 => (Fault::Vanish(clerk), dice.millis(0, 3_000)),
        1 => (Fault::FreezeAndVanish(clerk), dice.millis(0, 3_000)),
        _ => (Fault::Cut(link, how), dice.millis(2_000, 14_000)),
    }
}
