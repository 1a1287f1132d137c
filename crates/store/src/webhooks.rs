//! Webhooks: their rows, which the statement that ends a job writes, and the secrets that sign them.

use std::sync::Arc;

use async_trait::async_trait;
use clerkwork_core::{JobId, UnixMs, Webhook, WebhookSecret, WebhookStatus};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::Error;
use crate::rows::{count, int, job_id};

/// The webhooks of jobs that are done, and what signs them.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Claims up to `limit` pending webhooks whose look is due, in its order, and moves it to
    /// `until`, so that nobody else claims them before. Rows that another clerk claims are skipped.
    async fn claim_webhooks(
        &self,
        now: UnixMs,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueWebhook>, Error>;

    /// Keeps what became of claimed webhooks, unless the claim is over. The answers are in order:
    /// `false` where it was over. At most one change per job.
    async fn keep_webhooks(&self, changes: &[WebhookChange]) -> Result<Vec<bool>, Error>;

    /// Makes the webhook of a done job pending and due at once, as if it had never been tried.
    /// Whether the tenant has such a job, and that a webhook.
    async fn redeliver(&self, tenant: &str, id: JobId, now: UnixMs) -> Result<bool, Error>;

    /// The secrets that sign a tenant's webhooks, the newest first; made at the first call.
    async fn webhook_secrets(&self, tenant: &str, now: UnixMs)
    -> Result<Vec<WebhookSecret>, Error>;

    /// Makes a new secret for a tenant's webhooks; those until now sign for one more day.
    async fn rotate_webhook_secret(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error>;
}

/// A webhook that somebody has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWebhook {
    /// Its job.
    pub job: JobId,
    /// Its tenant.
    pub tenant: Arc<str>,
    /// Where it goes.
    pub url: String,
    /// Where it stands.
    pub webhook: Webhook,
    /// Until when it is claimed.
    pub until: UnixMs,
}

/// What became of a claimed webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookChange {
    /// Its job.
    pub job: JobId,
    /// Until when it was claimed.
    pub claimed: UnixMs,
    /// Where it stands now.
    pub webhook: Webhook,
    /// When a pending one is looked at next.
    pub look_at: UnixMs,
}

/// How long a secret signs after it was retired.
pub(crate) const RETIRED: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// The most secrets that sign at once, however often they are rotated: a header has its bounds.
pub(crate) const MOST_SECRETS: i32 = 5;

/// A webhook as a job's row brings it along: JSON, see `webhook_cell`.
pub(crate) fn read(id: JobId, cell: &str) -> Result<Webhook, Error> {
    let cells: Result<Cells, _> = serde_json::from_str(cell);
    let webhook = cells.ok().and_then(Cells::webhook);
    webhook.ok_or_else(|| corrupt(id))
}

#[derive(serde::Deserialize)]
struct Cells(i16, i32, Option<i16>, i64);

impl Cells {
    fn webhook(self) -> Option<Webhook> {
        let Self(state, attempts, last_status, due_at) = self;
        let status = WebhookStatus::from_number(state)?;
        let pending = status == WebhookStatus::Pending;
        Some(Webhook {
            status,
            attempts: count(attempts),
            last_status: last_status.and_then(|code| u16::try_from(code).ok()),
            next_attempt_at: pending.then_some(UnixMs(due_at)),
        })
    }
}

/// A row of `webhooks` that was claimed.
#[derive(Debug, FromRow)]
pub(crate) struct DueRow {
    pub(crate) job_id: Uuid,
    tenant: String,
    webhook: String,
    state: i16,
    attempts: i32,
    last_status: Option<i16>,
    due_at: i64,
    look_at: i64,
}

impl DueRow {
    pub(crate) fn due(self) -> Result<DueWebhook, Error> {
        let id = job_id("webhooks", self.job_id)?;
        let cells = Cells(self.state, self.attempts, self.last_status, self.due_at);
        Ok(DueWebhook {
            job: id,
            tenant: self.tenant.into(),
            url: self.webhook,
            webhook: cells.webhook().ok_or_else(|| corrupt(id))?,
            until: UnixMs(self.look_at),
        })
    }
}

fn corrupt(id: JobId) -> Error {
    Error::Corrupt {
        table: "webhooks",
        detail: format!("the webhook of job {id}"),
    }
}

/// The cells of a change, as both databases take them.
#[derive(Debug)]
pub(crate) struct ChangeCells {
    pub(crate) job: Uuid,
    pub(crate) claimed: i64,
    pub(crate) state: i16,
    pub(crate) attempts: i32,
    pub(crate) last_status: Option<i16>,
    /// When it is due; as before where nothing more is to be sent.
    pub(crate) due_at: Option<i64>,
    pub(crate) look_at: i64,
}

impl ChangeCells {
    pub(crate) fn of(change: &WebhookChange) -> Self {
        let webhook = &change.webhook;
        Self {
            job: change.job.uuid(),
            claimed: change.claimed.0,
            state: webhook.status.number().unwrap_or(0),
            attempts: int(webhook.attempts),
            last_status: webhook
                .last_status
                .and_then(|code| i16::try_from(code).ok()),
            due_at: webhook.next_attempt_at.map(|at| at.0),
            look_at: change.look_at.0,
        }
    }
}

pub(crate) fn secrets(rows: &[Vec<u8>]) -> Result<Vec<WebhookSecret>, Error> {
    rows.iter()
        .map(|bytes| {
            WebhookSecret::from_bytes(bytes).ok_or_else(|| Error::Corrupt {
                table: "webhook_secrets",
                detail: "a secret of another length".to_owned(),
            })
        })
        .collect()
}
