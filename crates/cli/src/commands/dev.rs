//! `dev`: the whole system in one process.

use clap::Args;
use clerkwork_worker::exec::guard;
use clerkwork_worker::{Command, Worker};
use tokio_util::sync::CancellationToken;

use crate::embedded::{Embedded, EmbeddedError};
use crate::exit::{Exit, Failure};
use crate::settings::dev::DevSettings;
use crate::settings::{self, DevFlags};
use crate::signals::Signals;
use crate::{logging, terminal};

/// Run everything in one process: clerk and workers, queue in memory, record in SQLite
#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    settings: DevFlags,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut settings = settings::load(self.settings, DevSettings::read)?;
        logging::start(std::mem::take(&mut settings.log));
        let signals = Signals::new()?;
        let worker = worker(&settings);
        let mut embedded = Embedded::in_file(settings.file)
            .listen(settings.listen)
            .config(settings.config);
        if !settings.commands.is_empty() {
            embedded = embedded.worker(worker);
        }
        let system = embedded.start().await.map_err(|error| match error {
            EmbeddedError::Open(error) => Failure::usage(error.to_string()),
            error => Failure::of(error),
        })?;
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

fn worker(settings: &DevSettings) -> Worker<()> {
    let mut worker = Worker::new(())
        .options(settings.options.clone())
        .concurrency(settings.concurrency);
    for command in &settings.commands {
        let queue = command.queue.as_str();
        let runner = Command {
            kill_grace: settings.kill_grace,
            guard: guard::this_program(),
            ..Command::new(command.words.clone())
        };
        worker = worker.command(queue, &runner);
        if let Some(concurrency) = command.concurrency {
            worker = worker.concurrency_of(queue, concurrency);
        }
    }
    worker
}
