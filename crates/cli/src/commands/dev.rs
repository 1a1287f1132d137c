//! `dev`: the whole system in one process.

use clap::Args;
use clerkwork_broker::amqp;
use clerkwork_worker::exec::guard;
use clerkwork_worker::{Command, Worker};
use tokio_util::sync::CancellationToken;

use crate::embedded::{Embedded, EmbeddedError};
use crate::exit::{Exit, Failure};
use crate::services::ServiceError;
use crate::settings::dev::{DevRunner, DevSettings};
use crate::settings::values::BrokerAddress;
use crate::settings::{self, DevFlags};
use crate::signals::Signals;
use crate::{listen, logging, terminal};

/// Advice for a process whose environment names the servers of a fleet.
const WITHOUT_SERVERS: &str = "to run dev without servers, leave --broker and --store out \
                               (CLERKWORK_BROKER and CLERKWORK_STORE in the environment)";

/// Run everything in one process: clerk and workers, queue in memory, record in SQLite; with --broker and
/// --store the queue and the record of a fleet
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork dev --worker 'shout*2=tr a-z A-Z'
  clerkwork dev --worker render=http://127.0.0.1:9000/
  clerkwork dev --broker amqp://guest:guest@127.0.0.1:5672/%2F --queues upper")]
pub(crate) struct Dev {
    #[command(flatten)]
    settings: DevFlags,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut settings = settings::load(self.settings, DevSettings::read)?;
        logging::start(std::mem::take(&mut settings.log));
        listen::raise_file_limit();
        let mut signals = Signals::new()?;
        let system = tokio::select! {
            started = embedded(settings).start() => started.map_err(|error| match error {
                error @ (EmbeddedError::Open(_) | EmbeddedError::Others(_)) => {
                    Failure::usage(error.to_string())
                }
                EmbeddedError::Service(error @ ServiceError::Away { .. }) => {
                    Failure::of(error).and(WITHOUT_SERVERS)
                }
                error => Failure::of(error),
            })?,
            _ = signals.next() => return Ok(Exit::Ok),
        };
        terminal::announce(&format!(
            "clerkwork dev listening on http://{}",
            system.address()
        ))?;
        let stop = CancellationToken::new();
        match signals.over(&stop, system.run(stop.clone())).await {
            Ok(ended) => ended.map(|()| Exit::Ok).map_err(Failure::of),
            Err(exit) => Ok(exit),
        }
    }
}

fn embedded(settings: DevSettings) -> Embedded {
    let worker = worker(&settings);
    let broker = match settings.broker {
        BrokerAddress::Memory => None,
        BrokerAddress::Amqp(url) => {
            let mut options = amqp::Options::new(&url, "clerkwork dev");
            options.queue_type = settings.queue_type;
            // Beside those of the clerk: one for each queue, one for control messages, and one that is
            // being closed meanwhile.
            let more = u16::try_from(worker.queue_count() + 2).unwrap_or(u16::MAX);
            options.channels = options.channels.saturating_add(more);
            Some(options)
        }
    };
    let embedded = Embedded::on(settings.store, broker, settings.start_timeout)
        .listen(settings.listen)
        .config(settings.config);
    match settings.workers.is_empty() {
        true => embedded,
        false => embedded.worker(worker),
    }
}

fn worker(settings: &DevSettings) -> Worker<()> {
    let mut worker = Worker::new(())
        .options(settings.options.clone())
        .concurrency(settings.concurrency);
    for served in &settings.workers {
        let queue = served.queue.as_str();
        worker = match &served.runner {
            DevRunner::Command(words) => {
                let command = Command {
                    kill_grace: settings.kill_grace,
                    guard: guard::this_program(),
                    ..Command::new(words.clone())
                };
                worker.command(queue, &command)
            }
            DevRunner::Service(service) => worker.service(queue, service),
        };
        if let Some(concurrency) = served.concurrency {
            worker = worker.concurrency_of(queue, concurrency);
        }
    }
    worker
}
