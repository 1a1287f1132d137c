//! `attempts`: the attempts of a job, with their workers and errors.

use clap::Args;
use clerkwork_client::{Attempt, UnixMs};
use clerkwork_core::{Clock as _, SystemClock};
use serde_json::json;

use super::client::{ClientArgs, id};
use super::show;
use crate::columns::{Column, first_line, line, titles};
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal, plain};

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
        match terminal.format {
            Format::Text => table(terminal, &attempts)?,
            Format::Json => terminal.json(&json!({ "attempts": attempts }))?,
            Format::Jsonl => attempts.iter().try_for_each(|one| terminal.json(one))?,
            Format::None => {}
        }
        Ok(Exit::Ok)
    }
}

/// Writes a table of attempts.
pub(super) fn table(terminal: Terminal, attempts: &[Attempt]) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    terminal.line(&titles(&COLUMNS))?;
    attempts
        .iter()
        .try_for_each(|attempt| terminal.line(&in_words(attempt, now)))
}

fn in_words(attempt: &Attempt, now: UnixMs) -> String {
    let error = attempt.error.as_ref().map(show::error).unwrap_or_default();
    let cells = [
        attempt.attempt.to_string(),
        attempt.started_at.map(show::time).unwrap_or_default(),
        show::ran(attempt.started_at, attempt.finished_at, now),
        plain(attempt.worker.as_deref().unwrap_or("")),
        first_line(&plain(&error), MOST_OF_AN_ERROR),
    ];
    line(&COLUMNS, cells)
}
