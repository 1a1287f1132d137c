//! The settings of `dev`: those of a clerk and of its workers, in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clerkwork_broker::amqp::QueueType;
use clerkwork_clerk::Config;
use clerkwork_core::QueueName;
use clerkwork_worker::{Options, Service};

use super::check::Check;
use super::clerk::{config, listen, queue_type};
use super::log::LogSettings;
use super::values::{self, BrokerAddress, StoreAddress};
use super::worker::{concurrency, options};

/// What `clerkwork dev` needs to know.
#[derive(Debug)]
pub(crate) struct DevSettings {
    pub(crate) log: LogSettings,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) store: StoreAddress,
    pub(crate) broker: BrokerAddress,
    pub(crate) queue_type: QueueType,
    pub(crate) start_timeout: Duration,
    pub(crate) workers: Vec<DevWorker>,
    pub(crate) options: Options,
    pub(crate) concurrency: usize,
    pub(crate) kill_grace: Duration,
    pub(crate) config: Config,
}

/// A command or an HTTP service that serves a queue.
#[derive(Clone, Debug)]
pub(crate) struct DevWorker {
    pub(crate) queue: QueueName,
    pub(crate) concurrency: Option<usize>,
    pub(crate) runner: DevRunner,
}

/// The part of a [`DevWorker`] that runs its jobs.
#[derive(Clone, Debug)]
pub(crate) enum DevRunner {
    /// The words of a command.
    Command(Vec<String>),
    Service(Service),
}

impl DevSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        // A DATABASE_URL that lies around is no wish to leave the one process.
        check.heed_ours_only();
        let data = PathBuf::from(check.text("data").unwrap_or_default());
        let beside = data.join("clerkwork.db");
        let before = check.errors();
        let store = check.parse("store", StoreAddress::parse);
        let broker = check.parse("broker", BrokerAddress::parse);
        let store = store.unwrap_or(StoreAddress::Sqlite(beside));
        let broker = broker.unwrap_or(BrokerAddress::Memory);
        let is_shared = matches!(store, StoreAddress::Postgres(_));
        if is_shared && broker == BrokerAddress::Memory && check.errors() == before {
            // Another clerk on this record would wait for replies that only this process sees.
            check.wrong(
                "--store is a PostgreSQL, which several clerks may share, and the queue is in the memory of \
                 this process alone: set --broker to amqp://user:password@host:5672/vhost too, or set \
                 --store to sqlite:FILE",
            );
        }
        let mut config = config(check);
        config.create_queues = true;
        config.log_jobs = true;
        let workers = workers(check);
        // There before the first job, so that no worker waits for them.
        config
            .queues
            .extend(workers.iter().map(|worker| worker.queue.clone()));
        let mut options = options(check);
        if check.optional_duration("heartbeat").is_none() {
            // A short lease must not make every worker look lost.
            options.heartbeat = options.heartbeat.min(config.lease / 4);
        }
        Self {
            log: LogSettings::read(check),
            listen: listen(check),
            store,
            broker,
            queue_type: queue_type(check),
            start_timeout: check.duration("start-timeout"),
            workers,
            options,
            concurrency: concurrency(check),
            kill_grace: check.duration("kill-grace"),
            config,
        }
    }
}

fn workers(check: &mut Check) -> Vec<DevWorker> {
    let workers = check.lines("worker", worker);
    for (i, worker) in workers.iter().enumerate() {
        let is_same = |other: &DevWorker| other.queue == worker.queue;
        if workers[..i].iter().any(is_same) {
            check.wrong(format!("--worker names the queue {} twice", worker.queue));
        }
    }
    workers
}

/// Reads `NAME[*N]=COMMAND` or `NAME[*N]=http://…`.
fn worker(text: &str) -> Result<DevWorker, String> {
    let (queue, runner) = text
        .split_once('=')
        .ok_or("it is written like 'NAME=COMMAND', 'NAME*4=COMMAND' or 'NAME=http://…'")?;
    let (queue, concurrency) = values::queue(queue)?;
    Ok(DevWorker {
        queue,
        concurrency,
        runner: self::runner(runner.trim())?,
    })
}

/// Reads the URL of a service, or a command, which is split into words as a shell would.
fn runner(text: &str) -> Result<DevRunner, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        let service = Service::new(text).map_err(|error| error.to_string())?;
        return Ok(DevRunner::Service(service));
    }
    let words = shell_words::split(text)
        .map_err(|_| "the command has a quote that does not end".to_owned())?;
    if words.is_empty() {
        return Err("the command is empty".to_owned());
    }
    Ok(DevRunner::Command(words))
}
