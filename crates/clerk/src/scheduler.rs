//! The scheduler: what must happen later. Delays, retries, start deadlines, leases, the backlog.
//!
//! Every clerk runs one; the store lets one act at a time per row. It decides which event a row's
//! waking is, and the recorder records what follows.

use std::collections::{HashMap, HashSet};
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

/// What came of a backlog's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    Jobs,
    /// There is no credit; a new one will give the turn.
    NoCredit,
    /// There was none, or none that may go out now.
    NoJobs,
}

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
    /// How long a worker that started a job just in time may take to be heard of.
    pub(crate) unheard: Duration,
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
                Some(start_by) if start_by <= now => Some(Event::TooLate { attempt: None }),
                start_by => Some(watched(start_by.unwrap_or(now.after(MARGIN)))),
            },
            State::Dispatched | State::Running => match &job.standing.worker {
                Some(worker) => Some(self.lease(job, now, workers.get(&**worker))),
                None => Some(match job.given_up_at(self.unheard) {
                    // Silence proves nothing to somebody who did not hear well.
                    Some(end) if end <= now && self.health.hears_for(self.unheard) => {
                        let attempt = Some(job.standing.attempt);
                        Event::TooLate { attempt }
                    }
                    Some(end) if end <= now => watched(now.after(self.unheard)),
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
        let mut look_at = Instant::now();
        loop {
            // Turns that keep coming must not keep the look away.
            let _ = tokio::time::timeout_at(look_at, self.window.woken()).await;
            if !self.health.can_publish() {
                tokio::time::sleep(TICK).await;
                continue;
            }
            let handed = if self.window.wants_look() || Instant::now() >= look_at {
                look_at = Instant::now() + BACKLOG;
                self.look().await
            } else {
                self.give_turns(&mut look_at).await
            };
            if let Err(refusal) = handed {
                tracing::debug!(%refusal, "the backlog could not be handed out");
                tokio::time::sleep(BACKLOG).await;
            }
        }
    }

    /// Finds every queue that has a backlog, and begins to hand it out.
    async fn look(&self) -> Result<(), Refusal> {
        let backlog = self.store.backlog().await?;
        let waiting: HashSet<&QueueName> = backlog.iter().map(|backlog| &backlog.queue).collect();
        for queue in self.window.to_look_at() {
            if !waiting.contains(&queue) {
                self.window.no_backlog(&queue);
            }
        }
        for backlog in backlog {
            if self.clock.now().since(backlog.oldest_due_at) < YOUNG {
                self.window.no_backlog(&backlog.queue);
            } else {
                self.window.behind_backlog(&backlog.queue);
            }
            self.hand_out_chunk(&backlog.queue).await?;
        }
        Ok(())
    }

    /// Gives the backlogs whose turn has come a chunk each, so that none keeps the others waiting.
    async fn give_turns(&self, look_at: &mut Instant) -> Result<(), Refusal> {
        for queue in self.window.turns() {
            if self.hand_out_chunk(&queue).await? == Handed::NoJobs {
                // Once that is seen, new jobs go out directly again.
                *look_at = (*look_at).min(Instant::now() + SOON);
            }
        }
        Ok(())
    }

    /// Hands out a chunk of a queue's backlog; where credit is left, its turn comes again.
    async fn hand_out_chunk(&self, queue: &QueueName) -> Result<Handed, Refusal> {
        let limit = self.window.take(queue, CHUNK);
        if limit == 0 {
            return Ok(Handed::NoCredit);
        }
        if self.hand_out_some(queue, limit).await? == 0 {
            return Ok(Handed::NoJobs);
        }
        self.window.waiting(queue);
        Ok(Handed::Jobs)
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

#[cfg(test)]
mod tests {
    use clerkwork_broker::Status;
    use clerkwork_store::sqlite;
    use tokio::sync::watch;

    use super::*;
    use crate::fixture;
    use crate::recorder;

    fn queue(name: &str) -> QueueName {
        name.parse().unwrap()
    }

    /// Workers as fast as the hand-outs keep `busy` in credit for ever; its backlog never ends.
    #[tokio::test]
    async fn a_busy_backlog_keeps_no_other_queue_waiting() {
        let store = sqlite::memory().await.unwrap();
        let mut writer = store.writer("here").await.unwrap();
        let clock = Arc::new(SystemClock::new());
        let old = clock.now().before(YOUNG * 10);
        writer.accept(&[fixture::job("busy", old)]).await.unwrap();
        let (_up, broker) = watch::channel(Status::Up);
        let (recorder, _asks) = recorder::channel(store.clone());
        let (wanted, mut asked) = mpsc::channel(16);
        let window = Window::new(2_000);
        let stop = CancellationToken::new();
        let task = SchedulerTask {
            config: Config::default(),
            store: store.clone(),
            clock: clock.clone(),
            health: Health::new(broker, stop.clone()),
            window: window.clone(),
            recorder,
            wanted,
            unheard: Duration::from_secs(60),
            stop: stop.clone(),
        };
        let scheduler = tokio::spawn(task.run());
        let (mut told, mut unknown) = (None, None);
        let mut rounds = 0;
        while told.is_none() || unknown.is_none() {
            let Wanted {
                queue: of,
                limit,
                answer,
            } = tokio::time::timeout(Duration::from_secs(10), asked.recv())
                .await
                .expect("somebody's turn comes")
                .unwrap();
            rounds += 1;
            assert!(rounds < 100_000, "told: {told:?}, unknown: {unknown:?}");
            match of.as_str() {
                "told" => told = told.or(Some(rounds)),
                "unknown" => unknown = unknown.or(Some(rounds)),
                _ => {}
            }
            answer.send(Ok(limit)).unwrap();
            if of == queue("busy") {
                (0..limit).for_each(|_| window.replied(&of));
            }
            if rounds == 3 {
                // One that waits here, and one that a peer which is gone has left behind.
                window.waiting(&queue("told"));
                writer
                    .accept(&[fixture::job("unknown", old)])
                    .await
                    .unwrap();
            }
        }
        assert!(told < Some(9), "its turn came in round {told:?}");
        stop.cancel();
        scheduler.await.unwrap();
    }
}
