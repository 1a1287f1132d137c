//! `get`: a job as it is now.

use clap::Args;

use super::client::{ClientArgs, id};
use super::{attempts, show};
use crate::exit::{Exit, Failure};
use crate::terminal::Format;

/// Show a job, and for people its attempts
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork get 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork get 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69 -o json | jq .status")]
pub(crate) struct Get {
    /// The job's id
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Get {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        show::job(terminal, &client.get(id).await?)?;
        if terminal.format == Format::Text {
            let attempts = client.attempts(id).await?;
            if !attempts.is_empty() {
                terminal.line("")?;
                attempts::show_attempts(terminal, &attempts)?;
            }
        }
        Ok(Exit::Ok)
    }
}
