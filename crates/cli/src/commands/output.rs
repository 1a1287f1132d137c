//! `output`: the bytes of a job's output, or of its input.

use clap::Args;
use clerkwork_client::{Client, Error, JobId};

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};
use crate::terminal::Format;

/// Write a job's output, byte for byte
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork output 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69 > pages.json
  clerkwork output --input 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69")]
pub(crate) struct Output {
    /// The job's id
    id: String,
    /// Write its input instead
    #[arg(long)]
    input: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Output {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        let content = if self.input {
            client.input(id).await
        } else {
            client.output(id).await
        };
        match content {
            Ok(content) if terminal.format == Format::None => drop(content),
            Ok(content) => terminal.output(&content.bytes)?,
            Err(Error::Conflict(_)) => return Err(none(&client, id).await?),
            Err(error) => return Err(error.into()),
        }
        Ok(Exit::Ok)
    }
}

/// Why the job has no output; an unfinished one is an error here, not a wait that ran out.
async fn none(client: &Client, id: JobId) -> Result<Failure, Failure> {
    let job = client.get(id).await?;
    let exit = if job.done {
        show::exit(&job)
    } else {
        Exit::Error
    };
    let sentence = show::why(&job).unwrap_or_else(|| format!("job {id} has no output"));
    Ok(Failure::new(exit, sentence))
}
