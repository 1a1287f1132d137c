//! The settings of `dev`: those of a clerk and of its workers, in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clerkwork_clerk::Config;
use clerkwork_core::QueueName;
use clerkwork_worker::Options;

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
    /// The file of the record.
    pub(crate) file: PathBuf,
    pub(crate) commands: Vec<DevCommand>,
    pub(crate) options: Options,
    pub(crate) concurrency: usize,
    pub(crate) kill_grace: Duration,
    pub(crate) config: Config,
}

/// A command that serves a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevCommand {
    pub(crate) queue: QueueName,
    pub(crate) concurrency: Option<usize>,
    pub(crate) words: Vec<String>,
}

impl DevSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        // A DATABASE_URL that lies around is no wish to leave the one process.
        check.heed_ours_only();
        let data = PathBuf::from(check.text("data").unwrap_or_default());
        let beside = data.join("clerkwork.db");
        let store = check.parse("store", |text| match StoreAddress::parse(text)? {
            StoreAddress::Sqlite(path) => Ok(path),
            StoreAddress::Postgres(_) => Err("dev keeps its record in SQLite: leave --store out, \
                 or use `clerkwork clerk` and `clerkwork worker`"
                .to_owned()),
        });
        check.parse("broker", |text| match BrokerAddress::parse(text)? {
            BrokerAddress::Memory => Ok(()),
            BrokerAddress::Amqp(_) => Err("dev keeps its queue in memory: leave --broker out, or \
                 use `clerkwork clerk` and `clerkwork worker`"
                .to_owned()),
        });
        // Of no use in one process, but what is out of range is told all the same.
        queue_type(check);
        check.duration("start-timeout");
        let mut config = config(check);
        config.create_queues = true;
        let mut options = options(check);
        if check.optional_duration("heartbeat").is_none() {
            // A short lease must not make every worker look lost.
            options.heartbeat = options.heartbeat.min(config.lease / 4);
        }
        Self {
            log: LogSettings::read(check),
            listen: listen(check),
            file: store.unwrap_or(beside),
            commands: commands(check),
            options,
            concurrency: concurrency(check),
            kill_grace: check.duration("kill-grace"),
            config,
        }
    }
}

fn commands(check: &mut Check) -> Vec<DevCommand> {
    let commands = check.lines("worker", command);
    for (i, command) in commands.iter().enumerate() {
        if commands[..i]
            .iter()
            .any(|other| other.queue == command.queue)
        {
            check.wrong(format!("--worker names the queue {} twice", command.queue));
        }
    }
    commands
}

/// Reads `NAME[*N]=COMMAND`; the command is split into words as a shell would.
fn command(text: &str) -> Result<DevCommand, String> {
    let (queue, command) = text
        .split_once('=')
        .ok_or("it is written like 'NAME=COMMAND' or 'NAME*4=COMMAND'")?;
    let (queue, concurrency) = values::queue(queue)?;
    let words = shell_words::split(command)
        .map_err(|_| "the command has a quote that does not end".to_owned())?;
    if words.is_empty() {
        return Err("the command is empty".to_owned());
    }
    Ok(DevCommand {
        queue,
        concurrency,
        words,
    })
}
