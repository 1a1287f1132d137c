//! `get`: a job as it is now.

use clap::Args;

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};

/// Show a job
#[derive(Debug, Args)]
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
        Ok(Exit::Ok)
    }
}
