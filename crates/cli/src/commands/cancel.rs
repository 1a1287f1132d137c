//! `cancel`: asks to stop jobs.

use clap::Args;
use clerkwork_client::{JobObject, Status};

use super::client::{ClientArgs, each};
use super::show;
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal};

/// Stop jobs; one that runs gets the signal at once
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork cancel 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork queue purge render        cancels all of a queue that have not started")]
pub(crate) struct Cancel {
    /// The jobs' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Cancel {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        each(terminal, &self.ids, async |id| {
            show_asked(terminal, &client.cancel(id).await?)?;
            Ok(Exit::Ok)
        })
        .await
    }
}

fn show_asked(terminal: Terminal, job: &JobObject) -> Result<(), Failure> {
    if terminal.format == Format::Text {
        terminal.line(&terminal.status(job.status))?;
    } else {
        show::job(terminal, job)?;
    }
    match job.status {
        Status::Cancelled => {}
        status if job.done => {
            terminal.note(&format!("it was too late: job {} is {status}", job.id));
        }
        _ => terminal.note(&format!("job {} was asked to stop", job.id)),
    }
    Ok(())
}
