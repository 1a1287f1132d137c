//! `queue`: the queues, for operators.

use std::time::Duration;

use clap::{Args, Subcommand};
use clerkwork_client::{Client, Queue as QueueObject, QueueName};
use serde_json::json;

use super::client::ClientArgs;
use crate::columns::{Column, show_all, span};
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal};

const COLUMNS: [Column; 7] = [
    Column::words("QUEUE", 24),
    Column::numbers("SCHEDULED", 9),
    Column::numbers("QUEUED", 9),
    Column::numbers("RUNNING", 9),
    Column::numbers("WORKERS", 7),
    Column::numbers("OLDEST", 6),
    Column::words("STATE", 0),
];

/// List, declare, pause, resume, purge and delete queues
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork queue list
  clerkwork queue declare render
  clerkwork queue purge render --yes")]
pub(crate) struct Queue {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List the queues with what waits and runs
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Declare a queue, so that jobs can be submitted to it
    Declare(One),
    /// Start nothing more of a queue; what runs goes on
    Pause(One),
    /// Let a paused queue go on
    Resume(One),
    /// Cancel everything of a queue that has not started
    Purge(One),
    /// Delete a queue that has no unfinished jobs
    Delete(One),
}

#[derive(Debug, Args)]
struct One {
    /// The queue
    queue: QueueName,
    #[command(flatten)]
    client: ClientArgs,
}

impl Queue {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        match self.act {
            Act::List { client } => {
                let (client, terminal) = client.open()?;
                list(&client, terminal).await?;
            }
            Act::Declare(one) => {
                let (client, terminal) = one.client.open()?;
                let new = client.declare(&one.queue).await?;
                say(terminal, &json!({ "queue": one.queue, "new": new }))?;
                terminal.progress(if new {
                    "declared"
                } else {
                    "it was there already"
                });
            }
            Act::Pause(one) => pause(one, true).await?,
            Act::Resume(one) => pause(one, false).await?,
            Act::Purge(one) => {
                let (client, terminal) = one.client.open()?;
                let question = format!("Cancel all jobs of {} that have not started?", one.queue);
                terminal.confirm(&question)?;
                let cancelled = client.purge(&one.queue).await?;
                if terminal.format == Format::Text {
                    terminal.line(&cancelled.to_string())?;
                }
                say(terminal, &json!({ "cancelled": cancelled }))?;
            }
            Act::Delete(one) => {
                let (client, terminal) = one.client.open()?;
                terminal.confirm(&format!("Delete queue {}?", one.queue))?;
                client.delete_queue(&one.queue).await?;
                say(terminal, &json!({ "queue": one.queue, "deleted": true }))?;
                terminal.progress("deleted");
            }
        }
        Ok(Exit::Ok)
    }
}

async fn pause(one: One, paused: bool) -> Result<(), Failure> {
    let (client, terminal) = one.client.open()?;
    client.pause(&one.queue, paused).await?;
    say(terminal, &json!({ "queue": one.queue, "paused": paused }))
}

async fn list(client: &Client, terminal: Terminal) -> Result<(), Failure> {
    let queues = client.queues().await?;
    show_all(terminal, "queues", &queues, &COLUMNS, cells)
}

fn cells(queue: &QueueObject) -> [String; 7] {
    let oldest = queue.oldest_queued_s.map(Duration::from_secs).map(span);
    let state = match queue.paused {
        true => "paused".to_owned(),
        false => String::new(),
    };
    [
        queue.queue.to_string(),
        queue.scheduled.to_string(),
        queue.queued.to_string(),
        queue.running.to_string(),
        queue.workers.to_string(),
        oldest.unwrap_or_default(),
        state,
    ]
}

/// Says it to programs only.
fn say(terminal: Terminal, value: &serde_json::Value) -> Result<(), Failure> {
    match terminal.format {
        Format::Json | Format::Jsonl => terminal.json(value),
        Format::Text | Format::None => Ok(()),
    }
}
