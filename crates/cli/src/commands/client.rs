//! What all commands share that talk to a clerk.

use std::time::Duration;

use clap::Args;
use clerkwork_client::{Client, JobId};

use crate::exit::{Exit, Failure};
use crate::settings::{self, ClientFlags};
use crate::terminal::{Colour, Format, Terminal};

/// How long a person waits for a server that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// How to reach the clerk, and how to speak.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    settings: ClientFlags,
    /// Form of the data on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Do not ask before changes that cannot be undone
    #[arg(long)]
    yes: bool,
    /// Write no progress to standard error
    #[arg(long)]
    no_progress: bool,
    /// The use of colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Colour,
}

impl ClientArgs {
    pub(crate) fn open(self) -> Result<(Client, Terminal), Failure> {
        let (url, key) = settings::load(self.settings, |check| {
            (check.text("url").unwrap_or_default(), check.text("api-key"))
        })?;
        let mut client = Client::new(&url)?.patience(PATIENCE);
        if let Some(key) = key {
            client = client.api_key(&key)?;
        }
        let terminal = Terminal {
            format: self.output,
            colour: self.color,
            progress: !self.no_progress,
            yes: self.yes,
        };
        Ok((client, terminal))
    }
}

/// Reads a job's id; what can be no job's id is not found, as on the server.
pub(crate) fn id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(|_| {
        Failure::new(
            Exit::NotFound,
            format!("no such job: `{text}` is not a job's id"),
        )
    })
}

/// Does something with each of some jobs. Where it cannot be done with one of several, says so and goes on;
/// the exit code is the first that is not 0.
///
/// # Errors
/// The failure of the only job, or one that the others would have, too.
pub(crate) async fn each(
    terminal: Terminal,
    ids: &[String],
    mut act: impl AsyncFnMut(JobId) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut first_bad = Exit::Ok;
    for text in ids {
        let done = match id(text) {
            Ok(id) => act(id).await,
            Err(failure) => Err(failure),
        };
        let exit = match done {
            Ok(exit) => exit,
            Err(failure) if ids.len() == 1 || failure.is_general => return Err(failure),
            Err(failure) => {
                terminal.note(&format!("error: job {text}: {failure}"));
                failure.exit
            }
        };
        if first_bad == Exit::Ok {
            first_bad = exit;
        }
    }
    Ok(first_bad)
}
