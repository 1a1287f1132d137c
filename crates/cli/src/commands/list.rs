//! `list`: finds jobs again.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clerkwork_client::{Filter, JobObject, Page, QueueName, Status, Tag, UnixMs};
use clerkwork_core::{Clock as _, SystemClock};

use super::client::ClientArgs;
use super::show;
use crate::columns::{Column, first_line, line, span, titles};
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal, plain};

/// The largest page that a clerk gives.
const PAGE: u32 = 200;

/// The most characters of an error in a line.
const MOST_OF_AN_ERROR: usize = 60;

const COLUMNS: [Column; 6] = [
    Column::words("ID", 36),
    Column::words("STATUS", 9),
    Column::numbers("AGE", 5),
    Column::numbers("RAN", 5),
    Column::words("QUEUE", 20),
    Column::words("ERROR", 0),
];

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork list --queue render --status failed
  clerkwork list --tag invoice:42 -o jsonl | jq -r .id")]
pub(crate) struct List {
    /// Only of this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only in this state
    #[arg(long, value_parser = statuses())]
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
        let mut is_first = true;
        let mut searched_to;
        loop {
            filter.limit = Some(left.min(PAGE));
            let page = client.list(&filter).await?;
            if std::mem::take(&mut is_first) && terminal.format == Format::Text {
                terminal.line(&titles(&COLUMNS))?;
            }
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
    let now = SystemClock::new().now();
    jobs.iter().try_for_each(|job| match terminal.format {
        Format::Text => terminal.line(&in_words(terminal, job, now)),
        _ => show::job(terminal, job),
    })
}

fn in_words(terminal: Terminal, job: &JobObject, now: UnixMs) -> String {
    let error = job.error.as_ref().map(show::error).unwrap_or_default();
    let cells = [
        job.id.to_string(),
        terminal.status(job.status),
        span(now.since(job.created_at)),
        show::ran(job.started_at, job.finished_at, now),
        job.queue.to_string(),
        first_line(&plain(&error), MOST_OF_AN_ERROR),
    ];
    line(&COLUMNS, cells)
}

fn statuses() -> impl clap::builder::TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .try_map(|word| Status::from_word(&word).ok_or("it is no status"))
}

fn moment(text: &str) -> Result<UnixMs, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "it is written like 2026-11-24T10:00:00Z".to_owned())
}
