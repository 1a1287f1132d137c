//! `delete`: hides jobs that are done.

use clap::Args;
use clerkwork_client::Client;

use super::client::{ClientArgs, each};
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// Hide finished jobs for good
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork delete 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork delete --yes ID ID        without a question, in scripts")]
pub(crate) struct Delete {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        let (ids, checked) = match terminal.yes {
            true => (self.ids, Exit::Ok),
            false => deletable(&client, terminal, &self.ids).await?,
        };
        match &*ids {
            [] => return Ok(checked),
            [id] => terminal.confirm(&format!("Delete job {id} for good?"))?,
            _ => terminal.confirm(&format!("Delete {} jobs for good?", ids.len()))?,
        }
        let deleted = each(terminal, &ids, async |id| {
            client.delete(id).await?;
            Ok(Exit::Ok)
        })
        .await?;
        Ok(match checked {
            Exit::Ok => deleted,
            bad => bad,
        })
    }
}

/// The jobs that there are and that are done, so that nobody is asked about others; and the exit code for
/// those.
async fn deletable(
    client: &Client,
    terminal: Terminal,
    ids: &[String],
) -> Result<(Vec<String>, Exit), Failure> {
    let mut deletable = Vec::new();
    let checked = each(terminal, ids, async |id| {
        let job = client.get(id).await?;
        if !job.done {
            let sentence = format!(
                "job {id} is {}, and only finished jobs can be deleted",
                job.status
            );
            return Err(Failure::error(format!("{sentence}; cancel it first")));
        }
        deletable.push(id.to_string());
        Ok(Exit::Ok)
    })
    .await?;
    Ok((deletable, checked))
}
