//! `delete`: hides jobs that are done.

use clap::Args;

use super::client::{ClientArgs, id};
use crate::exit::{Exit, Failure};

/// Hide finished jobs for good
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let ids = self
            .ids
            .iter()
            .map(|text| id(text))
            .collect::<Result<Vec<_>, _>>()?;
        let (client, _) = self.client.open()?;
        for id in ids {
            client.delete(id).await?;
        }
        Ok(Exit::Ok)
    }
}
