//! The scheduler: what must happen later. Delays, retries, start deadlines, leases, the backlog.
//!
//! Every clerk runs one; the store lets one act at a time per row. It decides which event a row's
//! waking is, and the recorder records what follows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Clock as _, Event, Job, JobId, QueueName, State, SystemClock, UnixMs};
use clerkwork_store::{Error, Store, WorkerRow};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Refusal;
use crate::health::Health;
use crate::recorder::RecorderHandle;
use crate::window::{CHUNK, Window};
use crate::writer::{MARGIN, Wanted};

/// How often due rows are looked for.
const TICK: Duration = Duration::from_millis(100);
/// How often all backlogs are looked at, whatever is known of them.
const BACKLOG: Duration = Duration::from_secs(1);
/// How soon they are looked at again when one seems to be gone.
const SOON: Duration = Duration::from_millis(100);
/// How long a claimed row is left to whoever claimed it.
const CLAIM: Duration = Duration::from_secs(10);
/// The most rows of one claim.
const DUE: u32 = 500;
/// The age below which a backlog's turn has come.
const YOUNG: Duration = Duration::from_secs(1);

/// The task's state.
#[derive(Debug)]
pub(crate) struct SchedulerTask {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) health: Health,
    pub(crate) window: Window,
    pub(crate) recorder: RecorderHandle,
    pub(crate) wanted: mpsc::Sender<Wanted>,
    pub(crate) stop: CancellationToken,
}

impl SchedulerTask {
    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let work = async { tokio::join!(self.wake_due(), self.hand_out(), self.watch()) };
        let _ = stop.run_until_cancelled(work).await;
    }

    async fn wake_due(&self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            loop {
                match self.wake_some().await {
                    Ok(woken) if woken == DUE as usize => {}
                    Ok(_) => break,
                    Err(refusal) => {
                        tracing::debug!(%refusal, "due jobs could not be woken");
                        tokio::time::sleep(BACKLOG).await;
                        break;
                    }
                }
            }
        }
    }

    async fn wake_some(&self) -> Result<usize, Refusal> {
        let now = self.clock.now();
        let jobs = self.store.claim_due(now, now.after(CLAIM), DUE).await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let workers = self.workers_of(&jobs).await?;
        let events: Vec<(JobId, Event)> = jobs
            .iter()
            .filter_map(|job| Some((job.id, self.event(job, now, &workers)?)))
            .collect();
        self.recorder.events(events).await?;
        Ok(jobs.len())
    }

    async fn workers_of(&self, jobs: &[Job]) -> Result<HashMap<String, WorkerRow>, Error> {
        let mut ids: Vec<String> = jobs
            .iter()
            .filter(|job| job.standing.state.is_out())
            .filter_map(|job| job.standing.worker.as_deref().map(str::to_owned))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.store.workers(Some(&ids), UnixMs(0)).await?;
        Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
    }

    /// What a row's waking is.
    fn event(&self, job: &Job, now: UnixMs, workers: &HashMap<String, WorkerRow>) -> Option<Event> {
        let watched = |wake_at| Event::Watched {
            wake_at,
            unlisted: job.standing.unlisted,
        };
        match job.standing.state {
            State::Scheduled if job.standing.due_at <= now => Some(Event::Due),
            State::Scheduled => Some(watched(job.standing.due_at)),
            State::Queued => match job.start_by() {
                Some(start_by) if start_by <= now => Some(Event::TooLate),
                start_by => Some(watched(start_by.unwrap_or(now.after(MARGIN)))),
            },
            State::Dispatched | State::Running => match &job.standing.worker {
                Some(worker) => Some(self.lease(job, now, workers.get(&**worker))),
                None => Some(match job.given_up_at() {
                    Some(end) if end <= now => Event::TooLate,
                    end => watched(end.map_or(now.after(MARGIN), |end| end.min(now.after(MARGIN)))),
                }),
            },
            State::Succeeded | State::Failed | State::Cancelled | State::Expired => None,
        }
    }

    /// Whether a job in a worker's hands is still there.
    fn lease(&self, job: &Job, now: UnixMs, worker: Option<&WorkerRow>) -> Event {
        let lease = if job.standing.held {
            self.config.lease
        } else {
            self.config.lease * 3
        };
        let attempt = job.standing.attempt;
        let alive = worker.filter(|row| now.since(row.seen_at) < lease);
        let lost = match alive {
            None => true,
            Some(row) if row.in_hand.contains(&(job.id, attempt)) => {
                let wake_at = row.seen_at.after(lease);
                return Event::Watched {
                    wake_at,
                    unlisted: false,
                };
            }
            Some(_) => job.standing.unlisted,
        };
        if !lost {
            return Event::Watched {
                wake_at: now.after(self.config.lease),
                unlisted: true,
            };
        }
        if self.health.hears_for(lease) {
            return Event::Lost { attempt };
        }
        // Silence proves nothing to somebody who did not hear well.
        Event::Watched {
            wake_at: now.after(lease / 4),
            unlisted: job.standing.unlisted,
        }
    }

    async fn hand_out(&self) {
        let mut looked: Option<Instant> = None;
        let mut next = Instant::now();
        loop {
            let due = tokio::time::timeout_at(next, self.window.woken())
                .await
                .is_err();
            if !self.health.can_publish() {
                tokio::time::sleep(TICK).await;
                continue;
            }
            let handed = if self.window.wants_look() || due {
                looked = Some(Instant::now());
                next = Instant::now() + BACKLOG;
                self.hand_out_all().await
            } else {
                self.hand_out_turns().await
            };
            match handed {
                Ok(true) => {}
                // A backlog that is gone lets new jobs go out directly again.
                Ok(false) => next = next.min(looked.map_or(next, |looked| looked + SOON)),
                Err(refusal) => {
                    tracing::debug!(%refusal, "the backlog could not be handed out");
                    tokio::time::sleep(BACKLOG).await;
                }
            }
        }
    }

    /// Gives every queue's backlog its turn until credits or jobs run out.
    async fn hand_out_all(&self) -> Result<bool, Refusal> {
        let backlog = self.store.backlog().await?;
        for queue in self.window.to_look_at() {
            if !backlog.iter().any(|backlog| backlog.queue == queue) {
                self.window.no_backlog(&queue);
            }
        }
        for backlog in backlog {
            if self.clock.now().since(backlog.oldest_due_at) < YOUNG {
                self.window.no_backlog(&backlog.queue);
            } else {
                self.window.behind_backlog(&backlog.queue);
            }
            self.hand_out_queue(&backlog.queue).await?;
        }
        Ok(true)
    }

    /// Gives the backlogs that wait for it their turn; `false` if one is gone.
    async fn hand_out_turns(&self) -> Result<bool, Refusal> {
        let mut more = true;
        for queue in self.window.turns() {
            more &= self.hand_out_queue(&queue).await?;
        }
        Ok(more)
    }

    /// Hands out a queue's backlog as far as there is credit; `false` if the backlog ended first.
    async fn hand_out_queue(&self, queue: &QueueName) -> Result<bool, Refusal> {
        loop {
            let limit = self.window.take(queue, CHUNK);
            if limit == 0 {
                return Ok(true);
            }
            let handed = self.hand_out_some(queue, limit).await?;
            if handed < limit {
                return Ok(false);
            }
            if limit < CHUNK {
                return Ok(true);
            }
        }
    }

    /// Hands out up to as many jobs as credits were taken for; gives back the others.
    async fn hand_out_some(&self, queue: &QueueName, limit: u32) -> Result<u32, Refusal> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted {
            queue: queue.clone(),
            limit,
            answer,
        };
        let handed = match self.wanted.send(wanted).await {
            Ok(()) => answered.await.unwrap_or(Err(Refusal::OutcomeUnknown)),
            Err(_) => Err(Refusal::Unavailable("the clerk drains".to_owned())),
        };
        let used = *handed.as_ref().unwrap_or(&0);
        self.window.give_back(queue, limit - used);
        handed
    }

    /// Gives a look to dispatches that were inserted without one and are still unfinished.
    async fn watch(&self) {
        let mut every = tokio::time::interval(MARGIN);
        loop {
            every.tick().await;
            let now = self.clock.now();
            // Twice the stretch of one round, so that none falls between two.
            let from = JobId::first_of(now.before(MARGIN * 4));
            let to = JobId::first_of(now.before(MARGIN));
            if let Err(error) = self.store.watch(from, to, now.after(MARGIN)).await {
                tracing::debug!(%error, "old dispatches could not be given a look");
            }
        }
    }
}
