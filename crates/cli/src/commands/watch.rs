//! `watch`: follows a job live and prints what came out.

use std::time::Duration;

use clap::Args;
use clerkwork_client::{Client, Event, Events, JobObject};
use tokio::time::{Instant, timeout_at};

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};
use crate::follow::View;
use crate::settings::values::seconds;
use crate::terminal::{Format, Terminal};

/// Follow a job live; prints its output in the end
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The job's id
    id: String,
    /// Watch at most so long
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Watch {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let id = id(&self.id)?;
        let (client, terminal) = self.client.open()?;
        let following = follow(client.events(id), terminal);
        let until = self.timeout.map(|most| Instant::now() + most);
        let seen = match until {
            Some(until) => timeout_at(until, following).await,
            None => Ok(following.await),
        };
        let job = match (seen, terminal.format) {
            // What is shown of a job live leaves a large output out.
            (Ok(seen), Format::Text | Format::Jsonl) => seen?,
            (Ok(seen), _) => seen.and(Ok(None))?,
            (Err(_), _) => None,
        };
        let job = match job {
            Some(job) => job,
            None => client.get(id).await?,
        };
        end(&client, terminal, &job).await
    }
}

/// Shows all that happens, to the end; the job as it is then.
async fn follow(mut events: Events, terminal: Terminal) -> Result<Option<JobObject>, Failure> {
    let mut view = View::new(terminal);
    let mut last = None;
    while let Some(told) = events.next().await? {
        if terminal.format == Format::Jsonl {
            terminal.json(&told)?;
        } else {
            view.show(&told.event);
        }
        if let Event::State(job) = told.event {
            last = Some(*job);
        }
    }
    Ok(last)
}

async fn end(client: &Client, terminal: Terminal, job: &JobObject) -> Result<Exit, Failure> {
    if terminal.format != Format::Jsonl {
        return show::came_to(client, terminal, job).await;
    }
    // The last event has said it.
    let exit = show::exit(job);
    if let Some(sentence) = show::why(job) {
        terminal.note(&sentence);
    }
    Ok(exit)
}
