//! The recorder's task: gathers, commits, acknowledges, tells.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{Clock as _, JobId, QueueName, State, Status, SystemClock};
use clerkwork_store::{Error, Recorder, Store};
use clerkwork_wire::Names;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Item, Recorded, Rules};
use super::replies::parts;
use super::{Ask, Incoming, Settled};
use crate::config::Config;
use crate::counters::Counters;
use crate::error::Refusal;
use crate::outstanding::Outstanding;
use crate::overtaken::Overtaken;
use crate::settler::Settler;
use crate::webhooks::Waker;
use crate::window::Window;

/// The task's state.
#[derive(Debug)]
pub(crate) struct RecorderTask {
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) window: Window,
    pub(crate) overtaken: Overtaken,
    pub(crate) outstanding: Outstanding,
    pub(crate) settler: Settler,
    pub(crate) webhooks: Waker,
    pub(crate) counters: Arc<Counters>,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) stop: CancellationToken,
}

/// The most messages of replies in one commit; each may carry up to 256 outcomes.
const MESSAGES: usize = 256;
/// The most asks in one commit.
const ASKS: usize = 512;
/// The most rows that one statement of a purge cancels.
const PURGE: u32 = 5_000;
/// The pause before the store is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

impl RecorderTask {
    /// Runs until it is stopped and nothing waits.
    pub(crate) async fn run(mut self) {
        let mut recorder: Option<Box<dyn Recorder>> = None;
        let (mut incoming, mut asks) = (Vec::new(), Vec::new());
        let mut replies_come = true;
        loop {
            tokio::select! {
                biased;
                count = self.incoming.recv_many(&mut incoming, MESSAGES), if replies_come => {
                    replies_come = count > 0;
                }
                Some(ask) = self.asks.recv() => asks.push(ask),
                () = self.stop.cancelled() => return,
            }
            while asks.len() < ASKS
                && let Ok(ask) = self.asks.try_recv()
            {
                asks.push(ask);
            }
            for part in parts(std::mem::take(&mut incoming)) {
                self.record_replies(&mut recorder, part).await;
            }
            self.record_asks(&mut recorder, std::mem::take(&mut asks))
                .await;
        }
    }

    /// Tells waiters, other clerks and workers, gives credit for what was answered, and wakes the
    /// backlog for what is due again and the webhooks of what is done.
    pub(super) fn settle(&self, settled: Vec<Settled>) {
        let came_through = settled
            .iter()
            .filter_map(|settled| Some((&settled.job.queue, settled.came_through?)));
        self.overtaken.came_through(came_through);
        for settled in &settled {
            if settled.dispatched_by.is_some() {
                self.window.replied(&settled.job.queue);
            }
            if settled.job.standing.state == State::Queued {
                self.window.waiting(&settled.job.queue);
            }
            if settled.job.spec.webhook.is_some() && settled.job.is_done() {
                self.webhooks.wake();
            }
        }
        self.settler.settle(settled);
    }

    /// Does what was asked; where the store fails, whoever asked is told and may ask again.
    async fn record_asks(&self, recorder: &mut Option<Box<dyn Recorder>>, asks: Vec<Ask>) {
        let mut items = Vec::new();
        let mut answers = Vec::new();
        for ask in asks {
            match ask {
                Ask::Events { events, answer } => {
                    let begin = items.len();
                    items.extend(events.into_iter().map(|(id, event)| Item {
                        id,
                        event,
                        dispatched_by: None,
                    }));
                    answers.push((begin..items.len(), answer));
                }
                // Whoever asked may have gone away; what was asked is done all the same.
                Ask::Delete { tenant, id, answer } => {
                    let _ = answer.send(self.delete(recorder, &tenant, id).await);
                }
                Ask::Purge {
                    queue,
                    before,
                    answer,
                } => {
                    let _ = answer.send(self.purge(recorder, &queue, before).await);
                }
            }
        }
        if items.is_empty() {
            return;
        }
        let recorded = self.try_events(recorder, &items).await;
        let failure = recorded.failure.map(|error| refuse(recorder, error));
        for (places, answer) in answers {
            let followed = &recorded.followed[places];
            let all: Option<Vec<_>> = followed.iter().cloned().collect();
            let followed = all.ok_or_else(|| match &failure {
                Some(failure) if followed.iter().all(Option::is_none) => failure.clone(),
                // Some of it is done, which whoever asks again finds.
                _ => Refusal::OutcomeUnknown,
            });
            let _ = answer.send(followed);
        }
        self.settle(recorded.settled);
    }

    async fn try_events(
        &self,
        recorder: &mut Option<Box<dyn Recorder>>,
        items: &[Item],
    ) -> Recorded {
        let rules = Rules {
            now: self.clock.now(),
            lease: self.config.lease,
        };
        match self.open(recorder).await {
            Ok(open) => batch::record(open.as_mut(), items, rules).await,
            Err(error) => Recorded {
                followed: vec![None; items.len()],
                settled: Vec::new(),
                failure: Some(error),
            },
        }
    }

    async fn delete(
        &self,
        recorder: &mut Option<Box<dyn Recorder>>,
        tenant: &str,
        id: JobId,
    ) -> Result<bool, Refusal> {
        let now = self.clock.now();
        let deleted = match self.open(recorder).await {
            Ok(open) => open.delete(tenant, &[id], now).await,
            Err(error) => Err(error),
        };
        deleted
            .map(|deleted| deleted == [true])
            .map_err(|error| refuse(recorder, error))
    }

    async fn purge(
        &self,
        recorder: &mut Option<Box<dyn Recorder>>,
        queue: &QueueName,
        before: JobId,
    ) -> Result<u64, Refusal> {
        let now = self.clock.now();
        let purged = match self.open(recorder).await {
            Ok(open) => open.purge(queue, before, now, PURGE).await,
            Err(error) => Err(error),
        };
        let purged = purged.map_err(|error| refuse(recorder, error))?;
        let count = purged.len() as u64;
        self.settler.unread(purged, Status::Cancelled);
        Ok(count)
    }

    pub(super) async fn open<'r>(
        &self,
        recorder: &'r mut Option<Box<dyn Recorder>>,
    ) -> Result<&'r mut Box<dyn Recorder>, Error> {
        let open = match recorder.take() {
            Some(open) => open,
            None => self.store.recorder().await?,
        };
        Ok(recorder.insert(open))
    }
}

/// After an error the connection is not used again.
fn refuse(recorder: &mut Option<Box<dyn Recorder>>, error: Error) -> Refusal {
    tracing::warn!(%error, "the recorder lost its connection");
    *recorder = None;
    error.into()
}
