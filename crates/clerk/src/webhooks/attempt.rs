//! One attempt: the job is read, told, and what became of that goes back to the store.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::public::MAX_TOLD_OUTPUT;
use clerkwork_core::{Clock, Webhook, WebhookStatus};
use clerkwork_faults::{Point, reach};
use clerkwork_store::{DueWebhook, Error, Kept, Store, WebhookChange};
use rand::RngExt as _;

use super::schedule::{self, Answer};
use super::secrets::Secrets;
use super::send::Sender;
use super::{body, guard::Target};

/// The pause before one is tried again that could not be read, or whose address has as many attempts as
/// it may.
const AGAIN: Duration = Duration::from_secs(2);

/// What every attempt needs; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sender: Arc<Sender>,
    pub(super) secrets: Secrets,
    pub(super) retention: Duration,
}

impl Attempts {
    /// Tries once; what became of it.
    pub(super) async fn attempt(self, due: DueWebhook) -> WebhookChange {
        match self.try_once(&due).await {
            Ok(Some(webhook)) => change(&due, webhook),
            Ok(None) => put_back(&due, self.clock.now().after(AGAIN)),
            Err(error) => {
                tracing::debug!(%error, job = %due.job, "a webhook could not be read");
                put_back(&due, self.clock.now().after(AGAIN))
            }
        }
    }

    /// The state after it; `None` where nothing was sent.
    async fn try_once(&self, due: &DueWebhook) -> Result<Option<Webhook>, Error> {
        let most = MAX_TOLD_OUTPUT;
        let kept = self.store.get(None, &[due.job], most).await?.pop();
        let Some(kept) = kept.filter(|kept| kept.job.is_done()) else {
            // It was deleted: nobody is told of it any more.
            return Ok(Some(Webhook {
                status: WebhookStatus::Stopped,
                next_attempt_at: None,
                ..due.webhook
            }));
        };
        let answer = match self.sender.target(&due.url) {
            Some(target) => self.post(target, kept).await?,
            None => Some(Answer::None("its URL may not be called")),
        };
        let Some(answer) = answer else {
            return Ok(None);
        };
        let chance = clerkwork_core::chance().random::<f64>();
        let after = schedule::after(due.webhook, answer, self.clock.now(), chance);
        tell(due, answer, after);
        Ok(Some(after))
    }

    async fn post(&self, target: Target, kept: Kept) -> Result<Option<Answer>, Error> {
        let now = self.clock.now();
        let (job, tenant) = (kept.job.id, kept.job.tenant.clone());
        let trace = kept.job.trace();
        let secrets = self.secrets.of(&*self.store, &tenant, now).await?;
        let body = match body::of(kept, self.retention) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, %job, "a webhook cannot be written");
                return Ok(Some(Answer::None("it cannot be written")));
            }
        };
        let now = self.clock.now();
        let headers = body::headers(job, &trace, &secrets, now, &body);
        reach(Point::WebhookBeforeSend);
        let answer = self.sender.post(target, headers, body).await;
        reach(Point::WebhookAfterSend);
        Ok(answer)
    }
}

fn change(due: &DueWebhook, webhook: Webhook) -> WebhookChange {
    WebhookChange {
        job: due.job,
        claimed: due.until,
        webhook,
        look_at: webhook.next_attempt_at.unwrap_or(due.until),
    }
}

/// As it was, to be looked at then.
pub(super) fn put_back(due: &DueWebhook, then: clerkwork_core::UnixMs) -> WebhookChange {
    WebhookChange {
        job: due.job,
        claimed: due.until,
        webhook: due.webhook,
        look_at: then,
    }
}

/// The URL may hold what nobody else should know, and the answer is a stranger's: neither is logged.
fn tell(due: &DueWebhook, answer: Answer, after: Webhook) {
    let (job, attempts) = (due.job, after.attempts);
    match (after.status, answer) {
        (WebhookStatus::Delivered, _) => tracing::debug!(%job, attempts, "a webhook was delivered"),
        (WebhookStatus::Pending, Answer::None(why)) => {
            tracing::info!(%job, attempts, why, "a webhook was not delivered and is tried again");
        }
        (WebhookStatus::Pending, _) => {
            let status = answer.status();
            tracing::info!(%job, attempts, status, "a webhook was refused and is tried again");
        }
        (_, _) => {
            tracing::warn!(%job, attempts, status = answer.status(), "a webhook was given up")
        }
    }
}
