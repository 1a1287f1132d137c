//! `redeliver`: sends the webhooks of jobs again.

use clap::Args;

use super::client::{ClientArgs, each};
use crate::exit::{Exit, Failure};

/// Send the webhooks of finished jobs again now
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork redeliver 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69")]
pub(crate) struct Redeliver {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Redeliver {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        each(terminal, &self.ids, async |id| {
            client.redeliver(id).await?;
            terminal.progress(&format!("job {id}: its webhook is sent again"));
            Ok(Exit::Ok)
        })
        .await
    }
}
