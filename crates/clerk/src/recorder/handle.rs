//! How the recorder is asked.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Event, Job, JobId, QueueName, UnixMs};
use clerkwork_store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::error::Refusal;

/// Asks the recorder; cheap to clone.
#[derive(Clone, Debug)]
pub struct RecorderHandle {
    asks: mpsc::Sender<Ask>,
    store: Arc<dyn Store>,
}

/// Something asked of the recorder.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Events; for each whether anything followed from it, and the job as it is then.
    Events {
        events: Vec<(JobId, Event)>,
        answer: oneshot::Sender<Result<Vec<Followed>, Refusal>>,
    },
    /// A client's delete.
    Delete {
        tenant: String,
        id: JobId,
        answer: oneshot::Sender<Result<bool, Refusal>>,
    },
    /// A part of an operator's purge of what is not dispatched.
    Purge {
        queue: QueueName,
        before: JobId,
        answer: oneshot::Sender<Result<u64, Refusal>>,
    },
}

/// What followed from an event.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// Whether it changed the job.
    pub(crate) changed: bool,
    /// The job afterwards; `None` if there is no such job.
    pub(crate) job: Option<Job>,
}

const TURN: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(12);

pub(crate) fn channel(store: Arc<dyn Store>) -> (RecorderHandle, mpsc::Receiver<Ask>) {
    let (asks, receiver) = mpsc::channel(1_024);
    (RecorderHandle { asks, store }, receiver)
}

impl RecorderHandle {
    /// Asks to stop a job; returns it as it is afterwards, or `None` if the tenant has no such job.
    ///
    /// Cancel safe; repeating it changes nothing.
    ///
    /// # Errors
    /// The store is away or did not answer.
    pub async fn cancel(&self, tenant: &str, id: JobId) -> Result<Option<Job>, Refusal> {
        let visible = self.store.get(Some(tenant), &[id], 0).await?.pop();
        match visible {
            Some(kept) if !kept.job.is_done() => {
                let followed = self.events(vec![(id, Event::CancelAsked)]).await?.pop();
                Ok(followed.and_then(|followed| followed.job))
            }
            visible => Ok(visible.map(|kept| kept.job)),
        }
    }

    /// Hides a done job of a tenant for good; `false` if there is none.
    ///
    /// # Errors
    /// The store is away or did not answer.
    pub async fn delete(&self, tenant: &str, id: JobId) -> Result<bool, Refusal> {
        let tenant = tenant.to_owned();
        self.ask(|answer| Ask::Delete { tenant, id, answer }).await
    }

    /// Cancels everything of a queue that is scheduled or queued and was accepted by now, so that it ends
    /// however many jobs come in meanwhile; how many. What was dispatched without a look to come is looked
    /// for among the jobs from `recent` on.
    ///
    /// # Errors
    /// The store is away or did not answer; what was cancelled stays so.
    pub async fn purge(
        &self,
        queue: &QueueName,
        recent: JobId,
        now: UnixMs,
    ) -> Result<u64, Refusal> {
        let before = JobId::first_of(now.after(Duration::from_millis(1)));
        let mut cancelled = 0;
        loop {
            let queue = queue.clone();
            let part = |answer| Ask::Purge {
                queue,
                before,
                answer,
            };
            let some = self.ask(part).await?;
            cancelled += some;
            if some == 0 {
                break;
            }
        }
        Ok(cancelled + self.purge_dispatched(queue, recent, before).await?)
    }

    /// The part of a purge that is on the broker already: each is cancelled on its own.
    async fn purge_dispatched(
        &self,
        queue: &QueueName,
        recent: JobId,
        before: JobId,
    ) -> Result<u64, Refusal> {
        let (mut cancelled, mut after) = (0, None);
        loop {
            let mut out = self.store.dispatched(queue, recent, after, 1_000).await?;
            out.retain(|job| job.id < before);
            let Some(last) = out.last() else {
                return Ok(cancelled);
            };
            after = Some(last.id);
            let events = out
                .iter()
                .map(|job| (job.id, Event::CancelAsked))
                .collect::<Vec<_>>();
            let followed = self.events(events).await?;
            cancelled += followed.iter().filter(|followed| followed.changed).count() as u64;
        }
    }

    /// Tells the recorder of events, in order; for each what followed.
    pub(crate) async fn events(
        &self,
        events: Vec<(JobId, Event)>,
    ) -> Result<Vec<Followed>, Refusal> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(|answer| Ask::Events { events, answer }).await
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Ask,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        if self.asks.send_timeout(ask(answer), TURN).await.is_err() {
            return Err(Refusal::Unavailable(
                "the clerk records nothing now".to_owned(),
            ));
        }
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
        }
    }
}
