//! The settings of a worker.

use std::net::SocketAddr;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use clerkwork_broker::amqp::QueueType;
use clerkwork_core::QueueName;
use clerkwork_worker::Options;

use super::check::Check;
use super::clerk::{broker, prefix, queue_type};
use super::log::LogSettings;
use super::values;

/// What `clerkwork worker` needs to know.
#[derive(Debug)]
pub(crate) struct WorkerSettings {
    pub(crate) log: LogSettings,
    pub(crate) fleet: FleetSettings,
    pub(crate) queues: Vec<(QueueName, Option<usize>)>,
    pub(crate) concurrency: usize,
    pub(crate) kill_grace: Duration,
}

/// What every worker of a fleet needs to know.
#[derive(Debug)]
pub(crate) struct FleetSettings {
    pub(crate) broker: String,
    pub(crate) queue_type: QueueType,
    pub(crate) start_timeout: Duration,
    pub(crate) health_listen: Vec<SocketAddr>,
    pub(crate) options: Options,
}

impl WorkerSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        let before = check.errors();
        let queues = check.names("queue", values::queue);
        if queues.is_empty() && check.errors() == before {
            check.wrong("--queue is not set: name the queue to serve");
        }
        Self {
            log: LogSettings::read(check),
            fleet: FleetSettings::read(check),
            queues,
            concurrency: concurrency(check),
            kill_grace: check.duration("kill-grace"),
        }
    }
}

impl FleetSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        Self {
            broker: broker(check),
            queue_type: queue_type(check),
            start_timeout: check.duration("start-timeout"),
            health_listen: check
                .parse("health-listen", values::addresses)
                .unwrap_or_default(),
            options: options(check),
        }
    }
}

/// What the worker itself is told.
pub(super) fn options(check: &mut Check) -> Options {
    let usual = Options::default();
    Options {
        prefix: prefix(check),
        heartbeat: check
            .optional_duration("heartbeat")
            .unwrap_or(usual.heartbeat),
        hold_after: check.duration("hold-after"),
        grace: check.duration("grace"),
        max_output: check.size("max-output"),
        clerk_user: check.text("clerk-user"),
        ..usual
    }
}

/// How many jobs of a queue run at a time.
pub(super) fn concurrency(check: &mut Check) -> usize {
    check
        .count("concurrency")
        .unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get))
}
