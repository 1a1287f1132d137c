//! `cancel`: asks to stop a job.

use clap::Args;
use clerkwork_client::Status;

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};
use crate::terminal::Format;

/// Stop a job; one that runs gets the signal at once
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The job's id
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Cancel {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        let job = client.cancel(id).await?;
        if terminal.format == Format::Text {
            terminal.line(&terminal.status(job.status))?;
        } else {
            show::job(terminal, &job)?;
        }
        match job.status {
            Status::Cancelled => {}
            status if job.done => terminal.note(&format!("it was too late: the job is {status}")),
            _ => terminal.note("the job was asked to stop"),
        }
        Ok(Exit::Ok)
    }
}
