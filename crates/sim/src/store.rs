//! The store as one node sees it: the database of all, behind a network that is slow and fails.
//!
//! A call is done at one moment, after the way there and before the way back. What is not done before the
//! node crashes never is; what is done and not answered stays done.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_core::{
    Change, ClerkId, Job, JobId, KeyId, QueueName, Secret, UnixMs, WebhookSecret,
};
use clerkwork_store::{
    Accepted, AttemptRow, Backlog, Blob, Cancel, ClerkRow, DueWebhook, Error, Filter, HandOut,
    Kept, Key, KnownKey, KnownQueue, NewJob, QueueStats, Recorder, Store, Succeeded, Success,
    Taken, Watermark, WebhookChange, Webhooks, WorkerRow, Writer,
};

use crate::road::Road;

/// The store as one node sees it.
#[derive(Debug)]
pub(crate) struct NodeStore {
    inner: Arc<dyn Store>,
    road: Road,
}

struct NodeWriter {
    inner: Box<dyn Writer>,
    road: Road,
}

struct NodeRecorder {
    inner: Box<dyn Recorder>,
    road: Road,
}

/// The store as the node at the beginning of this road sees it.
pub(crate) fn at(road: Road, inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(NodeStore { inner, road })
}

#[async_trait]
impl Store for NodeStore {
    async fn writer(&self, name: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.road.write("writer", self.inner.writer(name)).await?;
        let road = self.road.clone();
        Ok(Box::new(NodeWriter { inner, road }))
    }

    async fn recorder(&self) -> Result<Box<dyn Recorder>, Error> {
        let inner = self.road.read("recorder", self.inner.recorder()).await?;
        let road = self.road.clone();
        Ok(Box::new(NodeRecorder { inner, road }))
    }

    async fn clerks(&self) -> Result<Vec<ClerkRow>, Error> {
        self.road.read("clerks", self.inner.clerks()).await
    }

    async fn take_over(
        &self,
        clerk: ClerkId,
        silent_since: UnixMs,
        now: UnixMs,
    ) -> Result<u64, Error> {
        let work = self.inner.take_over(clerk, silent_since, now);
        let doubted = self.road.write("take over", work).await?;
        self.road
            .note("take over", format_args!("{clerk}, {doubted} doubted"));
        Ok(doubted)
    }

    async fn secrets(&self) -> Result<Vec<Secret>, Error> {
        self.road.write("secrets", self.inner.secrets()).await
    }

    async fn now(&self) -> Result<UnixMs, Error> {
        self.road.read("now", self.inner.now()).await
    }

    async fn get(
        &self,
        tenant: Option<&str>,
        ids: &[JobId],
        outputs: u64,
    ) -> Result<Vec<Kept>, Error> {
        let work = self.inner.get(tenant, ids, outputs);
        self.road.read("get", work).await
    }

    async fn input(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        self.road.read("input", self.inner.input(tenant, id)).await
    }

    async fn output(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        self.road
            .read("output", self.inner.output(tenant, id))
            .await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRow>, Error> {
        self.road.read("attempts", self.inner.attempts(id)).await
    }

    async fn list(&self, tenant: &str, filter: &Filter) -> Result<Vec<Kept>, Error> {
        self.road
            .read("list", self.inner.list(tenant, filter))
            .await
    }

    async fn declare_queues(
        &self,
        queues: &[QueueName],
        now: UnixMs,
    ) -> Result<Vec<QueueName>, Error> {
        let work = self.inner.declare_queues(queues, now);
        self.road.write("declare queues", work).await
    }

    async fn queues(&self) -> Result<Vec<KnownQueue>, Error> {
        self.road.read("queues", self.inner.queues()).await
    }

    async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<bool, Error> {
        let work = self.inner.pause_queue(queue, paused);
        self.road.write("pause queue", work).await
    }

    async fn queue_stats(
        &self,
        queue: Option<&QueueName>,
        now: UnixMs,
    ) -> Result<Vec<QueueStats>, Error> {
        let work = self.inner.queue_stats(queue, now);
        self.road.read("queue stats", work).await
    }

    async fn unfinished(&self, now: UnixMs) -> Result<Vec<(String, u64)>, Error> {
        self.road
            .read("unfinished", self.inner.unfinished(now))
            .await
    }

    async fn claimed(&self, key: &Key, now: UnixMs) -> Result<Option<Accepted>, Error> {
        self.road
            .read("claimed", self.inner.claimed(key, now))
            .await
    }

    async fn add_key(&self, key: &KnownKey) -> Result<bool, Error> {
        self.road.write("add key", self.inner.add_key(key)).await
    }

    async fn keys(&self, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error> {
        self.road.read("keys", self.inner.keys(ids)).await
    }

    async fn any_keys(&self) -> Result<bool, Error> {
        self.road.read("any keys", self.inner.any_keys()).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMs) -> Result<bool, Error> {
        self.road
            .write("revoke key", self.inner.revoke_key(id, now))
            .await
    }

    async fn claim_due(&self, now: UnixMs, until: UnixMs, limit: u32) -> Result<Vec<Job>, Error> {
        // Asked ten times a second, mostly for nothing.
        let work = self.inner.claim_due(now, until, limit);
        let due = self.road.call("claim due", false, work).await?;
        if !due.is_empty() {
            self.road
                .note("claim due", format_args!("{} jobs", due.len()));
        }
        Ok(due)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        self.road.read("backlog", self.inner.backlog()).await
    }

    async fn watch(&self, from: JobId, to: JobId, wake_at: UnixMs) -> Result<u64, Error> {
        self.road
            .write("watch", self.inner.watch(from, to, wake_at))
            .await
    }

    async fn out(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error> {
        self.road.read("out", self.inner.out(after, limit)).await
    }

    async fn unseen(
        &self,
        queue: &QueueName,
        recent: JobId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        let work = self.inner.unseen(queue, recent, after, limit);
        self.road.read("unseen", work).await
    }

    async fn keep_workers(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        self.road
            .write("keep workers", self.inner.keep_workers(workers))
            .await
    }

    async fn workers(
        &self,
        ids: Option<&[String]>,
        since: UnixMs,
    ) -> Result<Vec<WorkerRow>, Error> {
        self.road
            .read("workers", self.inner.workers(ids, since))
            .await
    }

    async fn cancels(&self, after: i64, limit: u32) -> Result<Vec<Cancel>, Error> {
        self.road
            .read("cancels", self.inner.cancels(after, limit))
            .await
    }

    async fn prune(&self, now: UnixMs, retention: Duration) -> Result<u64, Error> {
        self.road
            .write("prune", self.inner.prune(now, retention))
            .await
    }

    /// Nobody's connections are those of all.
    async fn close(&self) {}
}

#[async_trait]
impl Webhooks for NodeStore {
    async fn claim_webhooks(
        &self,
        now: UnixMs,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueWebhook>, Error> {
        let work = self.inner.claim_webhooks(now, until, limit);
        self.road.call("claim webhooks", false, work).await
    }

    async fn keep_webhooks(&self, changes: &[WebhookChange]) -> Result<Vec<bool>, Error> {
        self.road
            .write("keep webhooks", self.inner.keep_webhooks(changes))
            .await
    }

    async fn redeliver(&self, tenant: &str, id: JobId, now: UnixMs) -> Result<bool, Error> {
        self.road
            .write("redeliver", self.inner.redeliver(tenant, id, now))
            .await
    }

    async fn webhook_secrets(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        let work = self.inner.webhook_secrets(tenant, now);
        self.road.write("webhook secrets", work).await
    }

    async fn rotate_webhook_secret(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        let work = self.inner.rotate_webhook_secret(tenant, now);
        self.road.write("rotate webhook secret", work).await
    }
}

#[async_trait]
impl Writer for NodeWriter {
    fn clerk(&self) -> ClerkId {
        self.inner.clerk()
    }

    async fn accept(&mut self, jobs: &[NewJob]) -> Result<Vec<Accepted>, Error> {
        self.road.write("accept", self.inner.accept(jobs)).await
    }

    async fn hand_out(&mut self, hand_out: &HandOut) -> Result<Vec<Taken>, Error> {
        self.road
            .write("hand out", self.inner.hand_out(hand_out))
            .await
    }

    async fn heartbeat(&mut self, watermark: Watermark, now: UnixMs) -> Result<UnixMs, Error> {
        let work = self.inner.heartbeat(watermark, now);
        self.road.call("heartbeat", false, work).await
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.road.write("close", self.inner.close()).await
    }
}

#[async_trait]
impl Recorder for NodeRecorder {
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error> {
        self.road
            .write("succeed", self.inner.succeed(successes, now))
            .await
    }

    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        self.road.read("load", self.inner.load(ids)).await
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error> {
        self.road.write("apply", self.inner.apply(changes)).await
    }

    async fn purge(
        &mut self,
        queue: &QueueName,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        self.road
            .write("purge", self.inner.purge(queue, now, limit))
            .await
    }

    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error> {
        self.road
            .write("delete", self.inner.delete(tenant, ids, now))
            .await
    }

    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error> {
        self.road
            .write("forget cancels", self.inner.forget_cancels(cancels))
            .await
    }
}
