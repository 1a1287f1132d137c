//! `worker`: runs a command for each job of a fleet's queues, or calls an HTTP service.

use clap::{ArgGroup, Args};
use clerkwork_worker::exec::guard;
use clerkwork_worker::{Command, Service};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::fleet::Fleet;
use crate::settings::worker::WorkerSettings;
use crate::settings::{self, WorkerFlags};
use crate::signals::Signals;
use crate::{logging, terminal};

/// Run a private worker: one process of a command per job, or one request to a service
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("runner").required(true).args(["http", "command"])))]
#[command(after_help = "Examples:
  clerkwork worker --queue 'thumbnail*4' -- convert - -resize 200x png:-
  clerkwork worker --queue render --http http://127.0.0.1:9000/")]
pub(crate) struct Worker {
    /// Media type of the outputs [default: by their bytes]
    #[arg(long, value_name = "TYPE", conflicts_with = "http")]
    output_type: Option<String>,
    /// Lets an environment variable through to the command; again for more
    #[arg(long, value_name = "NAME", conflicts_with = "http")]
    env: Vec<String>,
    /// Sends each job to this HTTP service instead of running a command
    #[arg(long, value_name = "URL", value_parser = service)]
    http: Option<Service>,
    #[command(flatten)]
    settings: WorkerFlags,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Worker {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut settings = settings::load(self.settings, WorkerSettings::read)?;
        logging::start(std::mem::take(&mut settings.log));
        let command = Command {
            output_type: self.output_type,
            env: self.env,
            kill_grace: settings.kill_grace,
            guard: guard::this_program(),
            ..Command::new(self.command)
        };
        let sdk = if self.http.is_some() {
            "http"
        } else {
            "command"
        };
        sdk.clone_into(&mut settings.fleet.options.sdk);
        let fleet = Fleet::of(settings.fleet);
        let mut worker = fleet.worker(()).concurrency(settings.concurrency);
        let mut names = Vec::new();
        for (queue, concurrency) in settings.queues {
            worker = match &self.http {
                Some(service) => worker.service(queue.as_str(), service),
                None => worker.command(queue.as_str(), &command),
            };
            if let Some(concurrency) = concurrency {
                worker = worker.concurrency_of(queue.as_str(), concurrency);
            }
            names.push(queue.to_string());
        }
        let ready = move || {
            // Whoever started us no longer listens, which is no reason to stop working.
            let _ = terminal::announce(&format!("clerkwork worker consuming {}", names.join(", ")));
        };
        let signals = Signals::new()?;
        let stop = CancellationToken::new();
        match signals
            .over(&stop, fleet.run(worker, stop.clone(), ready))
            .await
        {
            Ok(ended) => ended.map(|()| Exit::Ok).map_err(Failure::of),
            Err(exit) => Ok(exit),
        }
    }
}

fn service(url: &str) -> Result<Service, String> {
    Service::new(url).map_err(|error| error.to_string())
}
