//! The task that claims what is due, sees it sent, and keeps what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::Clock;
use clerkwork_store::{DueWebhook, Store, WebhookChange};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempts, put_back};
use super::hosts::{Hosts, Turn};
use super::secrets::Secrets;
use super::{Sender, Waker};

/// How often the store is asked what is due, whatever this clerk knows of.
const EVERY: Duration = Duration::from_secs(1);
/// How long a claim is left to whoever claimed it: an attempt, and a wait for its turn.
const CLAIM: Duration = Duration::from_secs(30);
/// The most rows of one claim.
const DUE: u32 = 100;
/// The most claims before what has ended is seen to.
const CLAIMS: usize = 50;

/// The task's state.
#[derive(Debug)]
pub(crate) struct WebhooksTask {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) retention: Duration,
    pub(crate) waker: Waker,
    pub(crate) stop: CancellationToken,
}

/// What is under way.
#[derive(Debug, Default)]
struct Work {
    hosts: Hosts,
    attempts: JoinSet<WebhookChange>,
    under_way: HashMap<Id, UnderWay>,
    /// What became of some, and is not kept yet.
    changes: Vec<WebhookChange>,
}

/// An attempt that is under way: where to, whose, and since when.
#[derive(Debug)]
struct UnderWay {
    host: String,
    tenant: Arc<str>,
    since: Instant,
}

type Ended = Result<(Id, WebhookChange), JoinError>;

impl WebhooksTask {
    /// Runs until it is stopped and what it has begun has ended.
    pub(crate) async fn run(self) {
        let mut work = Work::default();
        let attempts = Attempts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            sender: self.sender.clone(),
            secrets: Secrets::default(),
            retention: self.retention,
        };
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                _ = every.tick() => {
                    self.keep(&mut work).await;
                    self.claim(&mut work, &attempts).await;
                }
                Some(ended) = work.attempts.join_next_with_id() => {
                    self.end(&mut work, &attempts, ended);
                    self.keep(&mut work).await;
                }
                () = self.waker.woken() => self.claim(&mut work, &attempts).await,
            }
        }
        self.drain(work).await;
    }

    /// Claims what is due, and begins what has its turn.
    async fn claim(&self, work: &mut Work, attempts: &Attempts) {
        for _ in 0..CLAIMS {
            let now = self.clock.now();
            let due = match self.store.claim_webhooks(now, now.after(CLAIM), DUE).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::debug!(%error, "due webhooks could not be claimed");
                    return;
                }
            };
            let all = due.len() < DUE as usize;
            for due in due {
                let host = self.host(&due);
                match work.hosts.place(&host, due, now) {
                    Turn::Now(due) => work.begin(attempts, host, due),
                    Turn::Later => {}
                    Turn::PutBack(due, then) => work.changes.push(put_back(&due, then)),
                }
            }
            self.keep(work).await;
            if all {
                return;
            }
        }
        self.waker.wake();
    }

    /// The host of a URL; those that may not be called share one.
    fn host(&self, due: &DueWebhook) -> String {
        let target = self.sender.target(&due.url);
        let host = target.and_then(|target| target.url.host_str().map(str::to_owned));
        host.unwrap_or_default()
    }

    /// Sees to all that have ended, and begins those whose turn it is now.
    fn end(&self, work: &mut Work, attempts: &Attempts, first: Ended) {
        let mut ended = Some(first);
        while let Some(one) = ended {
            if let Some(UnderWay {
                host,
                tenant,
                since,
            }) = work.end(one)
                && let Some(next) =
                    work.hosts
                        .ended(&host, &tenant, since.elapsed(), self.clock.now())
            {
                work.begin(attempts, host, next);
            }
            ended = work.attempts.try_join_next_with_id();
        }
    }

    /// Keeps what became of some. Where the store fails it is tried again; what is not kept before
    /// its claim ends is sent again.
    async fn keep(&self, work: &mut Work) {
        let now = self.clock.now();
        work.changes.retain(|change| change.claimed > now);
        if work.changes.is_empty() {
            return;
        }
        match self.store.keep_webhooks(&work.changes).await {
            Ok(_) => work.changes.clear(),
            Err(error) => tracing::debug!(%error, "what became of webhooks could not be kept yet"),
        }
    }

    /// Leaves to others what has not begun, and waits for what has: the clerk's grace bounds that.
    async fn drain(&self, mut work: Work) {
        let now = self.clock.now();
        let waiting = work.hosts.drain();
        let left = waiting.iter().map(|due| put_back(due, now));
        work.changes.extend(left);
        self.keep(&mut work).await;
        while let Some(ended) = work.attempts.join_next_with_id().await {
            work.end(ended);
            self.keep(&mut work).await;
        }
    }
}

impl Work {
    fn begin(&mut self, attempts: &Attempts, host: String, due: DueWebhook) {
        let under_way = UnderWay {
            host,
            tenant: due.tenant.clone(),
            since: Instant::now(),
        };
        let id = self.attempts.spawn(attempts.clone().attempt(due)).id();
        self.under_way.insert(id, under_way);
    }

    /// Notes what became of an attempt that was under way.
    fn end(&mut self, ended: Ended) -> Option<UnderWay> {
        let id = match ended {
            Ok((id, change)) => {
                self.changes.push(change);
                id
            }
            Err(error) => {
                // Its claim comes free by itself.
                tracing::error!(%error, "an attempt to send a webhook panicked");
                error.id()
            }
        };
        self.under_way.remove(&id)
    }
}
