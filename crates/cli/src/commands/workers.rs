//! `workers`: the workers that report, for operators.

use clap::Args;
use clerkwork_client::{UnixMs, Worker};
use clerkwork_core::{Clock as _, SystemClock};

use super::client::ClientArgs;
use crate::columns::{Column, show_all, span};
use crate::exit::{Exit, Failure};
use crate::terminal::plain;

const COLUMNS: [Column; 8] = [
    Column::words("HOST", 16),
    Column::numbers("PID", 7),
    Column::words("SDK", 8),
    Column::words("VERSION", 8),
    Column::numbers("RUNNING", 7),
    Column::numbers("SEEN", 5),
    Column::words("STATE", 8),
    Column::words("QUEUES", 0),
];

/// List the workers that report; plain AMQP workers do not, and are counted by `queue list`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork workers
  clerkwork workers -o jsonl")]
pub(crate) struct Workers {
    #[command(flatten)]
    client: ClientArgs,
}

impl Workers {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        let workers = client.workers().await?;
        let now = SystemClock::new().now();
        show_all(terminal, "workers", &workers, &COLUMNS, |worker| {
            cells(worker, now)
        })?;
        Ok(Exit::Ok)
    }
}

fn cells(worker: &Worker, now: UnixMs) -> [String; 8] {
    let seen = worker.last_seen_at.map(|at| span(now.since(at)));
    [
        plain(&worker.host),
        worker.pid.to_string(),
        plain(&worker.sdk),
        plain(&worker.version),
        worker.running.to_string(),
        seen.unwrap_or_default(),
        match worker.draining {
            true => "draining".to_owned(),
            false => "working".to_owned(),
        },
        plain(&worker.queues.join(",")),
    ]
}
