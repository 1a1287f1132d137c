//! The store's verbs, each with its deadline.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_core::{
    ClerkId, Clock as _, Job, JobId, KeyId, QueueName, Secret, SystemClock, UnixMs, WebhookSecret,
};

use super::hand::Inner;
use super::record::SqliteRecorder;
use super::write::SqliteWriter;
use super::{api_keys, fleet, keys, later, prune, queues, read, webhooks};
use crate::{
    Accepted, AttemptRow, Backlog, Blob, Cancel, ClerkRow, DueWebhook, Error, Filter, Kept, Key,
    KnownKey, KnownQueue, Listed, QueueStats, Recorder, Store, WebhookChange, Webhooks, WorkerRow,
    Writer, deadline,
};

/// A database of this process.
#[derive(Debug)]
pub(super) struct SqliteStore(Arc<Inner>);

impl SqliteStore {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn writer(&self, name: &str) -> Result<Box<dyn Writer>, Error> {
        let writer = deadline::write(SqliteWriter::register(self.0.clone(), name)).await?;
        Ok(Box::new(writer))
    }

    async fn recorder(&self) -> Result<Box<dyn Recorder>, Error> {
        Ok(Box::new(SqliteRecorder(self.0.clone())))
    }

    async fn clerks(&self) -> Result<Vec<ClerkRow>, Error> {
        deadline::read(fleet::clerks(&self.0)).await
    }

    async fn take_over(
        &self,
        clerk: ClerkId,
        silent_since: UnixMs,
        now: UnixMs,
    ) -> Result<u64, Error> {
        deadline::write(fleet::take_over(&self.0, clerk, silent_since, now)).await
    }

    async fn secrets(&self) -> Result<Vec<Secret>, Error> {
        deadline::write(fleet::secrets(&self.0)).await
    }

    async fn now(&self) -> Result<UnixMs, Error> {
        self.0.look();
        self.0.in_place()?;
        Ok(SystemClock::new().now())
    }

    async fn get(
        &self,
        tenant: Option<&str>,
        ids: &[JobId],
        outputs: u64,
    ) -> Result<Vec<Kept>, Error> {
        deadline::read(read::get(&self.0, tenant, ids, outputs)).await
    }

    async fn input(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        deadline::read(read::input(&self.0, tenant, id)).await
    }

    async fn output(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        deadline::read(read::output(&self.0, tenant, id)).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRow>, Error> {
        deadline::read(read::attempts(&self.0, id)).await
    }

    async fn list(&self, tenant: &str, filter: &Filter) -> Result<Listed, Error> {
        deadline::read(read::list(&self.0, tenant, filter)).await
    }

    async fn declare_queues(
        &self,
        queues: &[QueueName],
        now: UnixMs,
    ) -> Result<Vec<QueueName>, Error> {
        deadline::write(queues::declare(&self.0, queues, now)).await
    }

    async fn queues(&self) -> Result<Vec<KnownQueue>, Error> {
        deadline::read(queues::all(&self.0)).await
    }

    async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<bool, Error> {
        deadline::write(queues::pause(&self.0, queue, paused)).await
    }

    async fn queue_stats(
        &self,
        queue: Option<&QueueName>,
        _now: UnixMs,
    ) -> Result<Vec<QueueStats>, Error> {
        deadline::read(queues::stats(&self.0, queue)).await
    }

    async fn unfinished(&self, _now: UnixMs) -> Result<Vec<(String, u64)>, Error> {
        deadline::read(queues::unfinished(&self.0)).await
    }

    async fn claimed(&self, key: &Key, now: UnixMs) -> Result<Option<Accepted>, Error> {
        deadline::read(keys::claimed(&self.0, key, now)).await
    }

    async fn add_key(&self, key: &KnownKey) -> Result<bool, Error> {
        deadline::write(api_keys::add(&self.0, key)).await
    }

    async fn keys(&self, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error> {
        deadline::read(api_keys::known(&self.0, ids)).await
    }

    async fn any_keys(&self) -> Result<bool, Error> {
        deadline::read(api_keys::any(&self.0)).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMs) -> Result<bool, Error> {
        deadline::write(api_keys::revoke(&self.0, id, now)).await
    }

    async fn claim_due(&self, now: UnixMs, until: UnixMs, limit: u32) -> Result<Vec<Job>, Error> {
        deadline::write(later::claim_due(&self.0, now, until, limit)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        deadline::read(queues::backlog(&self.0)).await
    }

    async fn watch(&self, from: JobId, to: JobId, wake_at: UnixMs) -> Result<u64, Error> {
        deadline::write(later::watch(&self.0, from, to, wake_at)).await
    }

    async fn out(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error> {
        deadline::read(read::out(&self.0, after, limit)).await
    }

    async fn dispatched(
        &self,
        queue: &QueueName,
        recent: JobId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        deadline::read(later::dispatched(&self.0, queue, recent, after, limit)).await
    }

    async fn keep_workers(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        deadline::write(fleet::keep_workers(&self.0, workers)).await
    }

    async fn workers(
        &self,
        ids: Option<&[String]>,
        since: UnixMs,
    ) -> Result<Vec<WorkerRow>, Error> {
        deadline::read(fleet::workers(&self.0, ids, since)).await
    }

    async fn cancels(&self, after: i64, limit: u32) -> Result<Vec<Cancel>, Error> {
        deadline::read(fleet::cancels(&self.0, after, limit)).await
    }

    async fn queue_cancels(
        &self,
        queue: &QueueName,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Cancel>, Error> {
        deadline::read(fleet::queue_cancels(&self.0, queue, after, limit)).await
    }

    async fn prune(&self, now: UnixMs, retention: Duration) -> Result<u64, Error> {
        prune::prune(&self.0, now, retention).await
    }

    async fn close(&self) {
        self.0.close();
    }
}

#[async_trait]
impl Webhooks for SqliteStore {
    async fn claim_webhooks(
        &self,
        now: UnixMs,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueWebhook>, Error> {
        deadline::write(webhooks::claim(&self.0, now, until, limit)).await
    }

    async fn keep_webhooks(&self, changes: &[WebhookChange]) -> Result<Vec<bool>, Error> {
        deadline::write(webhooks::keep(&self.0, changes)).await
    }

    async fn redeliver(&self, tenant: &str, id: JobId, now: UnixMs) -> Result<bool, Error> {
        deadline::write(webhooks::redeliver(&self.0, tenant, id, now)).await
    }

    async fn webhook_secrets(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        deadline::write(webhooks::secrets(&self.0, tenant, now)).await
    }

    async fn rotate_webhook_secret(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        deadline::write(webhooks::rotate(&self.0, tenant, now)).await
    }
}
