//! `retry`: makes new jobs from jobs that did not succeed.

use clap::Args;

use super::client::{ClientArgs, each};
use super::show;
use crate::exit::{Exit, Failure};

/// Submit failed, cancelled or expired jobs anew; prints the new ids
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork retry 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork list --queue render --status failed --limit 1000 -o jsonl | jq -r .id | xargs -r clerkwork retry")]
pub(crate) struct Retry {
    /// The old jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Retry {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        each(terminal, &self.ids, async |id| {
            show::id(terminal, &client.retry(id).await?)?;
            Ok(Exit::Ok)
        })
        .await
    }
}
