//! `wait`: waits for the end of jobs and prints what came out.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::client::{ClientArgs, each};
use super::show;
use crate::exit::{Exit, Failure};
use crate::settings::values::seconds;

/// Wait for jobs to end; prints their outputs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork wait 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69 --timeout 30s")]
pub(crate) struct Wait {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Wait at most so long for all of them
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Wait {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        let begin = Instant::now();
        each(terminal, &self.ids, async |id| {
            let left = self
                .timeout
                .map(|most| most.saturating_sub(begin.elapsed()));
            show::end(&client, terminal, id, left).await
        })
        .await
    }
}
