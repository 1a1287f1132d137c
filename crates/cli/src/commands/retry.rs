//! `retry`: makes a new job from one that did not succeed.

use clap::Args;

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};

/// Submit a failed, cancelled or expired job anew; prints the new id
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The old job's id
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Retry {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        show::id(terminal, &client.retry(id).await?)?;
        Ok(Exit::Ok)
    }
}
