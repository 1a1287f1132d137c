//! `attempts`: the attempts of a job, with their workers and errors.

use clap::Args;
use clerkwork_client::{Attempt, UnixMs};
use clerkwork_core::{Clock as _, SystemClock};

use super::client::{ClientArgs, id};
use super::show;
use crate::columns::{Column, first_line, show_all};
use crate::exit::{Exit, Failure};
use crate::terminal::{Terminal, plain};

const COLUMNS: [Column; 5] = [
    Column::numbers("ATTEMPT", 7),
    Column::words("STARTED", 24),
    Column::numbers("RAN", 5),
    Column::words("WORKER", 36),
    Column::words("ERROR", 0),
];

/// The most characters of an error in a line.
const MOST_OF_AN_ERROR: usize = 200;

/// Show the attempts of a job, with their workers and errors
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork attempts 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork attempts 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69 -o json")]
pub(crate) struct Attempts {
    /// The job's id
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Attempts {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        let attempts = client.attempts(id).await?;
        show_attempts(terminal, &attempts)?;
        Ok(Exit::Ok)
    }
}

/// Shows attempts.
pub(super) fn show_attempts(terminal: Terminal, attempts: &[Attempt]) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    show_all(terminal, "attempts", attempts, &COLUMNS, |attempt| {
        cells(attempt, now)
    })
}

fn cells(attempt: &Attempt, now: UnixMs) -> [String; 5] {
    let error = attempt.error.as_ref().map(show::error).unwrap_or_default();
    [
        attempt.attempt.to_string(),
        attempt.started_at.map(show::time).unwrap_or_default(),
        show::ran(attempt.started_at, attempt.finished_at, now),
        plain(attempt.worker.as_deref().unwrap_or("")),
        first_line(&plain(&error), MOST_OF_AN_ERROR),
    ]
}
