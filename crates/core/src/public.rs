//! The Job object: what clients see of a job, in every answer, event and webhook.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::UnixMs;
use crate::id::JobId;
use crate::job::Job;
use crate::live::Progress;
use crate::name::{QueueName, Tag};
use crate::outcome::Failure;
use crate::webhook::{Webhook, WebhookStatus};

/// The state of a job as clients see it: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not due yet.
    Scheduled,
    /// Due, not started.
    Queued,
    /// Started.
    Running,
    /// Done, with an output.
    Succeeded,
    /// Done, with an error.
    Failed,
    /// Done: a client asked for it.
    Cancelled,
    /// Done: not started by its start deadline.
    Expired,
}

impl Status {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The status with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether it is final.
    #[must_use]
    pub fn is_done(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a job's webhook has come to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhookObject {
    /// Where it goes.
    pub url: String,
    /// What has become of it.
    pub status: WebhookStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// The last HTTP status that the receiver gave.
    pub last_status: Option<u16>,
    /// The next try.
    pub next_attempt_at: Option<UnixMs>,
}

impl WebhookObject {
    fn of(url: String, webhook: Webhook) -> Self {
        Self {
            url,
            status: webhook.status,
            attempts: webhook.attempts,
            last_status: webhook.last_status,
            next_attempt_at: webhook.next_attempt_at,
        }
    }
}

/// A job as clients see it. Every field is always there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobObject {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Its state.
    pub status: Status,
    /// Whether nothing can happen to it any more.
    pub done: bool,
    /// The number of the last dispatch; 0 before the first.
    pub attempt: u32,
    /// How many failures end it.
    pub max_attempts: u32,
    /// For finding it again.
    pub tags: Vec<Tag>,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// The media type of its input.
    pub input_type: String,
    /// The size of its input, in bytes.
    pub input_size: u64,
    /// Its output, if that is JSON and small enough for where this object stands.
    pub output: Option<Arc<RawValue>>,
    /// The media type of its output.
    pub output_type: Option<String>,
    /// The size of its output, in bytes.
    pub output_size: Option<u64>,
    /// Whether a JSON output was left out here for its size.
    pub output_omitted: bool,
    /// Why it failed.
    pub error: Option<Failure>,
    /// When it was accepted.
    pub created_at: UnixMs,
    /// When it is or was due.
    pub due_at: UnixMs,
    /// When an attempt last started.
    pub started_at: Option<UnixMs>,
    /// When it became done.
    pub finished_at: Option<UnixMs>,
    /// It stays readable at least until then.
    pub expires_at: Option<UnixMs>,
    /// When a client asked to stop it.
    pub cancel_requested_at: Option<UnixMs>,
    /// The job that this one was made from by hand.
    pub retry_of: Option<JobId>,
    /// The job that was made from this one by hand.
    pub retried_as: Option<JobId>,
    /// Its webhook.
    pub webhook: Option<WebhookObject>,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// Why nothing happens yet, for people; programs must not read it.
    pub note: Option<String>,
    /// Where a browser can follow it.
    pub watch_url: Option<String>,
}

/// The largest JSON output, in bytes, within an event or a webhook; a larger one is left out.
pub const MAX_TOLD_OUTPUT: u64 = 64 * 1024;

/// The media type of JSON.
pub const JSON: &str = "application/json";

/// Whether this media type is that of JSON: many servers add a charset to it. JSON in another one than
/// UTF-8 is none that we could read.
///
/// ```
/// use clerkwork_core::public::is_json;
///
/// assert!(is_json("application/json"));
/// assert!(is_json("Application/JSON; charset=utf-8"));
/// assert!(!is_json("application/json; charset=ISO-8859-1"));
/// assert!(!is_json("application/problem+json"));
/// ```
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
    name.eq_ignore_ascii_case(JSON)
        && parameters.all(|(name, value)| {
            let value = value.trim().trim_matches('"');
            let utf8 = ["utf-8", "utf8", "us-ascii"];
            !name.trim().eq_ignore_ascii_case("charset")
                || utf8.iter().any(|utf8| value.eq_ignore_ascii_case(utf8))
        })
}

impl JobObject {
    /// What clients see of `job`, without output, progress and note, and with its webhook
    /// as if nobody had tried to send it; `retention` is how long it
    /// stays readable after its end.
    #[must_use]
    pub fn of(job: &Job, retention: std::time::Duration) -> Self {
        let standing = &job.standing;
        Self {
            id: job.id,
            queue: job.queue.clone(),
            status: standing.state.status(),
            done: job.is_done(),
            attempt: standing.attempt,
            max_attempts: job.spec.max_attempts,
            tags: job.spec.tags.clone(),
            progress: None,
            input_type: job.input.media_type.clone(),
            input_size: job.input.size,
            output: None,
            output_type: job.output.as_ref().map(|output| output.media_type.clone()),
            output_size: job.output.as_ref().map(|output| output.size),
            output_omitted: job
                .output
                .as_ref()
                .is_some_and(|output| is_json(&output.media_type)),
            error: job.failure.clone(),
            created_at: job.created_at,
            due_at: standing.due_at,
            started_at: standing.started_at,
            finished_at: standing.finished_at,
            expires_at: standing.finished_at.map(|end| end.after(retention)),
            cancel_requested_at: standing.cancel_requested_at,
            retry_of: job.retry_of,
            retried_as: job.retried_as,
            webhook: job.spec.webhook.as_ref().map(|url| {
                let untried = Webhook::untried(job);
                WebhookObject::of(url.clone(), untried)
            }),
            trace_id: job.trace().id().map(str::to_owned),
            note: None,
            watch_url: None,
        }
    }

    /// Shows what has become of the webhook, if there is one.
    pub fn show_webhook(&mut self, webhook: Webhook) {
        self.webhook = self
            .webhook
            .take()
            .map(|shown| WebhookObject::of(shown.url, webhook));
    }

    /// Puts the output in its place.
    pub fn show_output(&mut self, output: impl Into<Arc<RawValue>>) {
        self.output = Some(output.into());
        self.output_omitted = false;
    }
}
