//! The layer over the connections of writers and recorders.

use async_trait::async_trait;
use clerkwork_core::{Change, ClerkId, Job, JobId, QueueName, UnixMs};
use clerkwork_store::{
    Accepted, Error, HandOut, NewJob, Recorder, Succeeded, Success, Taken, Watermark, Writer,
};
use tokio::sync::Mutex;

use crate::way::Way;

/// In locks that nobody else wants, so that a way may make a call again.
pub(super) struct LayeredWriter<W> {
    pub(super) clerk: ClerkId,
    pub(super) inner: Mutex<Box<dyn Writer>>,
    pub(super) way: W,
}

pub(super) struct LayeredRecorder<W> {
    pub(super) inner: Mutex<Box<dyn Recorder>>,
    pub(super) way: W,
}

#[async_trait]
impl<W: Way> Writer for LayeredWriter<W> {
    fn clerk(&self) -> ClerkId {
        self.clerk
    }

    async fn accept(&mut self, jobs: &[NewJob]) -> Result<Vec<Accepted>, Error> {
        self.way
            .write("accept", || async {
                self.inner.lock().await.accept(jobs).await
            })
            .await
    }

    async fn hand_out(&mut self, hand_out: &HandOut) -> Result<Vec<Taken>, Error> {
        self.way
            .write("hand out", || async {
                self.inner.lock().await.hand_out(hand_out).await
            })
            .await
    }

    async fn heartbeat(&mut self, watermark: Watermark, now: UnixMs) -> Result<UnixMs, Error> {
        let work = || async { self.inner.lock().await.heartbeat(watermark, now).await };
        self.way.beat("heartbeat", work).await
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.way
            .write("close", || async { self.inner.lock().await.close().await })
            .await
    }
}

#[async_trait]
impl<W: Way> Recorder for LayeredRecorder<W> {
    async fn succeed(
        &mut self,
        successes: &[Success],
        now: UnixMs,
    ) -> Result<Vec<Succeeded>, Error> {
        self.way
            .write("succeed", || async {
                self.inner.lock().await.succeed(successes, now).await
            })
            .await
    }

    async fn load(&mut self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        self.way
            .read("load", || async { self.inner.lock().await.load(ids).await })
            .await
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Vec<bool>, Error> {
        self.way
            .write("apply", || async {
                self.inner.lock().await.apply(changes).await
            })
            .await
    }

    async fn purge(
        &mut self,
        queue: &QueueName,
        end: JobId,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(JobId, u32)>, Error> {
        self.way
            .write("purge", || async {
                self.inner.lock().await.purge(queue, end, now, limit).await
            })
            .await
    }

    async fn delete(
        &mut self,
        tenant: &str,
        ids: &[JobId],
        now: UnixMs,
    ) -> Result<Vec<bool>, Error> {
        self.way
            .write("delete", || async {
                self.inner.lock().await.delete(tenant, ids, now).await
            })
            .await
    }

    async fn forget_cancels(&mut self, cancels: &[(JobId, u32)]) -> Result<(), Error> {
        self.way
            .write("forget cancels", || async {
                self.inner.lock().await.forget_cancels(cancels).await
            })
            .await
    }
}
