//! `list`: finds jobs again.

use clap::Args;
use clerkwork_client::{Filter, JobObject, Page, QueueName, Status, Tag, UnixMs};

use super::client::ClientArgs;
use super::show;
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal};

/// The largest page that a clerk gives.
const PAGE: u32 = 200;

/// List jobs, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only in this state: scheduled, queued, running, succeeded, failed, cancelled or expired
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<Tag>,
    /// Only accepted after this time, like 2026-11-24T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_after: Option<UnixMs>,
    /// Only accepted before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_before: Option<UnixMs>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where an earlier list ended (its next_cursor)
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

impl List {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (client, terminal) = self.client.open()?;
        let mut filter = Filter {
            queue: self.queue,
            status: self.status,
            tag: self.tag,
            created_after: self.created_after,
            created_before: self.created_before,
            limit: None,
            cursor: self.cursor,
        };
        let (mut left, mut jobs) = (self.limit, Vec::new());
        let mut searched_to;
        loop {
            filter.limit = Some(left.min(PAGE));
            let page = client.list(&filter).await?;
            left = left.saturating_sub(u32::try_from(page.jobs.len()).unwrap_or(u32::MAX));
            // Pages may be short or empty: only a missing cursor is the end.
            let last = left == 0 || page.next_cursor.is_none();
            (filter.cursor, searched_to) = (page.next_cursor, page.searched_to);
            if terminal.format == Format::Json {
                jobs.extend(page.jobs);
            } else {
                lines(terminal, &page.jobs)?;
            }
            if last {
                break;
            }
        }
        if terminal.format == Format::Json {
            terminal.json(&Page {
                jobs,
                next_cursor: filter.cursor,
                searched_to,
            })?;
        } else if let Some(cursor) = filter.cursor {
            terminal.progress(&format!("there may be more: --cursor {cursor}"));
        }
        Ok(Exit::Ok)
    }
}

fn lines(terminal: Terminal, jobs: &[JobObject]) -> Result<(), Failure> {
    for job in jobs {
        match terminal.format {
            Format::Text => {
                let (status, room) = (terminal.status(job.status), 9 - job.status.as_str().len());
                let created = show::time(job.created_at);
                terminal.line(&format!(
                    "{} {status}{:room$} {created} {}",
                    job.id, "", job.queue
                ))?;
            }
            _ => show::job(terminal, job)?,
        }
    }
    Ok(())
}

fn status(text: &str) -> Result<Status, String> {
    Status::from_word(text)
        .ok_or_else(|| format!("it must be {}", Status::ALL.map(Status::as_str).join(", ")))
}

fn moment(text: &str) -> Result<UnixMs, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "it is written like 2026-11-24T10:00:00Z".to_owned())
}
