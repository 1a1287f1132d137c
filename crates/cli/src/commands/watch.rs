//! `watch`: follows a job live and prints what came out.

use std::time::Duration;

use clap::Args;
use clerkwork_client::{Client, Event, Events, JobId, JobObject, Told};
use tokio::time::{Instant, timeout_at};

use super::client::{ClientArgs, id};
use super::show;
use crate::exit::{Exit, Failure};
use crate::follow::View;
use crate::settings::values::seconds;
use crate::terminal::{Format, Terminal};

/// Follow a job live; prints its output in the end
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork watch 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69
  clerkwork watch 0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69 -o jsonl")]
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
        let mut view = View::new(terminal);
        let show = |told: &Told| {
            if terminal.format == Format::Jsonl {
                return terminal.json(told);
            }
            view.show(&told.event);
            Ok(())
        };
        let seen = follow(client.events(id), self.timeout, show).await?;
        // What is shown of a job live leaves a large output out.
        let told = matches!(terminal.format, Format::Text | Format::Jsonl);
        let job = match seen.filter(|_| told) {
            Some(job) => job,
            None => client.get(id).await?,
        };
        drop(view);
        end(&client, terminal, &job).await
    }
}

/// Shows a job that was just submitted live; waits for it where it cannot be followed.
pub(crate) async fn live(
    client: &Client,
    terminal: Terminal,
    id: JobId,
    most: Option<Duration>,
) -> Result<Exit, Failure> {
    let begin = Instant::now();
    let mut view = View::new(terminal);
    let show = |told: &Told| {
        view.show(&told.event);
        Ok(())
    };
    let seen = follow(client.events(id), most, show).await;
    drop(view);
    if let Err(failure) = seen {
        terminal.progress(&format!("not followed live, only waited for: {failure}"));
        let left = most.map(|most| most.saturating_sub(begin.elapsed()));
        return show::end(client, terminal, id, left).await;
    }
    show::came_to(client, terminal, &client.get(id).await?).await
}

/// Shows all that happens, to the end or for `most`; the job as it is at its end.
async fn follow(
    mut events: Events,
    most: Option<Duration>,
    mut show: impl FnMut(&Told) -> Result<(), Failure>,
) -> Result<Option<JobObject>, Failure> {
    let until = most.and_then(|most| Instant::now().checked_add(most));
    let mut last = None;
    loop {
        let told = match until {
            Some(until) => match timeout_at(until, events.next()).await {
                Ok(told) => told?,
                Err(_) => return Ok(None),
            },
            None => events.next().await?,
        };
        let Some(told) = told else {
            return Ok(last);
        };
        show(&told)?;
        if let Event::State(job) = told.event {
            last = Some(*job);
        }
    }
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
