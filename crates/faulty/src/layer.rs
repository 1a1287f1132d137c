//! The layer over a store: every method is named here, once, and takes its [`Way`].

mod sessions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_core::{ClerkId, Job, JobId, KeyId, QueueName, Secret, UnixMs, WebhookSecret};
use clerkwork_store::{
    Accepted, AttemptRow, Backlog, Blob, Cancel, ClerkRow, DueWebhook, Error, Filter, Kept, Key,
    KnownKey, KnownQueue, Listed, QueueDeletion, QueueStats, Recorder, Store, WebhookChange,
    Webhooks, WorkerRow, Writer,
};
use tokio::sync::Mutex;

use crate::way::Way;
use sessions::{LayeredRecorder, LayeredWriter};

/// A store behind a way.
#[derive(Debug)]
struct LayeredStore<W> {
    inner: Arc<dyn Store>,
    way: W,
}

/// The store as whoever reaches it by this way sees it.
#[must_use]
pub fn over<W: Way>(way: W, inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(LayeredStore { inner, way })
}

#[async_trait]
impl<W: Way> Store for LayeredStore<W> {
    async fn writer(&self, name: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.way.write("writer", || self.inner.writer(name)).await?;
        let way = self.way.session();
        Ok(Box::new(LayeredWriter {
            clerk: inner.clerk(),
            inner: Mutex::new(inner),
            way,
        }))
    }

    async fn recorder(&self) -> Result<Box<dyn Recorder>, Error> {
        let inner = self.way.read("recorder", || self.inner.recorder()).await?;
        let way = self.way.session();
        Ok(Box::new(LayeredRecorder {
            inner: Mutex::new(inner),
            way,
        }))
    }

    async fn clerks(&self) -> Result<Vec<ClerkRow>, Error> {
        self.way.read("clerks", || self.inner.clerks()).await
    }

    async fn take_over(
        &self,
        clerk: ClerkId,
        silent_since: UnixMs,
        now: UnixMs,
    ) -> Result<u64, Error> {
        let work = || self.inner.take_over(clerk, silent_since, now);
        let doubted = self.way.write("take over", work).await?;
        self.way
            .note("take over", format_args!("{clerk}, {doubted} doubted"));
        Ok(doubted)
    }

    async fn secrets(&self) -> Result<Vec<Secret>, Error> {
        self.way.write("secrets", || self.inner.secrets()).await
    }

    async fn now(&self) -> Result<UnixMs, Error> {
        self.way.read("now", || self.inner.now()).await
    }

    async fn get(
        &self,
        tenant: Option<&str>,
        ids: &[JobId],
        outputs: u64,
    ) -> Result<Vec<Kept>, Error> {
        let work = || self.inner.get(tenant, ids, outputs);
        self.way.read("get", work).await
    }

    async fn input(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        self.way
            .read("input", || self.inner.input(tenant, id))
            .await
    }

    async fn output(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        self.way
            .read("output", || self.inner.output(tenant, id))
            .await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRow>, Error> {
        self.way.read("attempts", || self.inner.attempts(id)).await
    }

    async fn list(&self, tenant: &str, filter: &Filter) -> Result<Listed, Error> {
        self.way
            .read("list", || self.inner.list(tenant, filter))
            .await
    }

    async fn declare_queues(
        &self,
        queues: &[QueueName],
        now: UnixMs,
    ) -> Result<Vec<QueueName>, Error> {
        let work = || self.inner.declare_queues(queues, now);
        self.way.write("declare queues", work).await
    }

    async fn queues(&self) -> Result<Vec<KnownQueue>, Error> {
        self.way.read("queues", || self.inner.queues()).await
    }

    async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<bool, Error> {
        let work = || self.inner.pause_queue(queue, paused);
        self.way.write("pause queue", work).await
    }

    async fn delete_queue(&self, queue: &QueueName, now: UnixMs) -> Result<QueueDeletion, Error> {
        let work = || self.inner.delete_queue(queue, now);
        self.way.write("delete queue", work).await
    }

    async fn queue_stats(
        &self,
        queue: Option<&QueueName>,
        now: UnixMs,
    ) -> Result<Vec<QueueStats>, Error> {
        let work = || self.inner.queue_stats(queue, now);
        self.way.read("queue stats", work).await
    }

    async fn unfinished(&self, now: UnixMs) -> Result<Vec<(String, u64)>, Error> {
        self.way
            .read("unfinished", || self.inner.unfinished(now))
            .await
    }

    async fn claimed(&self, key: &Key, now: UnixMs) -> Result<Option<Accepted>, Error> {
        self.way
            .read("claimed", || self.inner.claimed(key, now))
            .await
    }

    async fn add_key(&self, key: &KnownKey) -> Result<bool, Error> {
        self.way.write("add key", || self.inner.add_key(key)).await
    }

    async fn keys(&self, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error> {
        self.way.read("keys", || self.inner.keys(ids)).await
    }

    async fn any_keys(&self) -> Result<bool, Error> {
        self.way.read("any keys", || self.inner.any_keys()).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMs) -> Result<bool, Error> {
        self.way
            .write("revoke key", || self.inner.revoke_key(id, now))
            .await
    }

    async fn claim_due(&self, now: UnixMs, until: UnixMs, limit: u32) -> Result<Vec<Job>, Error> {
        // Asked ten times a second, mostly for nothing.
        let work = || self.inner.claim_due(now, until, limit);
        let due = self.way.beat("claim due", work).await?;
        if !due.is_empty() {
            self.way
                .note("claim due", format_args!("{} jobs", due.len()));
        }
        Ok(due)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        self.way.read("backlog", || self.inner.backlog()).await
    }

    async fn watch(&self, from: JobId, to: JobId, wake_at: UnixMs) -> Result<u64, Error> {
        self.way
            .write("watch", || self.inner.watch(from, to, wake_at))
            .await
    }

    async fn out(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error> {
        self.way.read("out", || self.inner.out(after, limit)).await
    }

    async fn dispatched(
        &self,
        queue: &QueueName,
        recent: JobId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        let work = || self.inner.dispatched(queue, recent, after, limit);
        self.way.read("dispatched", work).await
    }

    async fn keep_workers(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        self.way
            .write("keep workers", || self.inner.keep_workers(workers))
            .await
    }

    async fn workers(
        &self,
        ids: Option<&[String]>,
        since: UnixMs,
    ) -> Result<Vec<WorkerRow>, Error> {
        self.way
            .read("workers", || self.inner.workers(ids, since))
            .await
    }

    async fn cancels(&self, after: i64, limit: u32) -> Result<Vec<Cancel>, Error> {
        self.way
            .read("cancels", || self.inner.cancels(after, limit))
            .await
    }

    async fn queue_cancels(
        &self,
        queue: &QueueName,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Cancel>, Error> {
        self.way
            .read("cancels", || self.inner.queue_cancels(queue, after, limit))
            .await
    }

    async fn prune(&self, now: UnixMs, retention: Duration) -> Result<u64, Error> {
        self.way
            .write("prune", || self.inner.prune(now, retention))
            .await
    }

    async fn close(&self) {
        if self.way.closes() {
            self.inner.close().await;
        }
    }
}

#[async_trait]
impl<W: Way> Webhooks for LayeredStore<W> {
    async fn claim_webhooks(
        &self,
        now: UnixMs,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueWebhook>, Error> {
        let work = || self.inner.claim_webhooks(now, until, limit);
        self.way.beat("claim webhooks", work).await
    }

    async fn keep_webhooks(&self, changes: &[WebhookChange]) -> Result<Vec<bool>, Error> {
        self.way
            .write("keep webhooks", || self.inner.keep_webhooks(changes))
            .await
    }

    async fn redeliver(&self, tenant: &str, id: JobId, now: UnixMs) -> Result<bool, Error> {
        self.way
            .write("redeliver", || self.inner.redeliver(tenant, id, now))
            .await
    }

    async fn webhook_secrets(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        let work = || self.inner.webhook_secrets(tenant, now);
        self.way.write("webhook secrets", work).await
    }

    async fn rotate_webhook_secret(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        let work = || self.inner.rotate_webhook_secret(tenant, now);
        self.way.write("rotate webhook secret", work).await
    }
}
