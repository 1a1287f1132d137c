//! The scheduler: what must happen later. Delays, retries, start deadlines, leases, the backlog.
//!
//! Every clerk runs one; the store lets one act at a time per row. It decides which event a row's
//! waking is, and the recorder records what follows.

mod backlog;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{ClerkId, Clock as _, Event, Job, JobId, State, SystemClock, UnixMs};
use clerkwork_faults::{Point, reach};
use clerkwork_store::{Error, Store, WorkerRow};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Refusal;
use crate::health::Health;
use crate::overtaken::Overtaken;
use crate::recorder::RecorderHandle;
use crate::window::Window;
use crate::writer::Wanted;

/// How often due rows are looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait before the store is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a claimed row is left to whoever claimed it.
const CLAIM: Duration = Duration::from_secs(10);
/// The most rows of one claim.
const DUE: u32 = 500;
/// The wait for the look that tells whether a queue's workers report.
const LOOK: Duration = Duration::from_millis(500);
/// How long before a clerk's start direct dispatches may have been left without a look, at least.
const AWAY: Duration = Duration::from_secs(3_600);
/// The jobs of so long are looked through by one statement.
const SLICE: Duration = Duration::from_secs(300);

/// What is known beside the rows that are woken.
struct Known {
    workers: HashMap<String, WorkerRow>,
    /// By clerk the lowest number whose publish may not be confirmed.
    watermarks: HashMap<ClerkId, i64>,
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
    /// `None` where the queue is in this process, and loses nothing.
    pub(crate) overtaken: Option<Overtaken>,
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
                        tokio::time::sleep(AGAIN).await;
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
        reach(Point::SchedAfterClaim);
        let known = Known {
            workers: self.workers_of(&jobs).await?,
            watermarks: self.watermarks_for(&jobs).await?,
        };
        let events: Vec<(JobId, Event)> = jobs
            .iter()
            .filter_map(|job| Some((job.id, self.event(job, now, &known)?)))
            .collect();
        let doubts = |event: &&(JobId, Event)| matches!(event.1, Event::Doubted { .. });
        let doubted = events.iter().filter(doubts).count();
        if doubted > 0 {
            tracing::warn!(
                jobs = doubted,
                "dispatches are gone from their queue unseen and are made anew"
            );
        }
        self.recorder.events(events).await?;
        Ok(jobs.len())
    }

    /// The watermarks of the clerks that live, where a dispatch among these may be unconfirmed.
    async fn watermarks_for(&self, jobs: &[Job]) -> Result<HashMap<ClerkId, i64>, Error> {
        let unseen =
            |job: &Job| job.standing.state == State::Dispatched && job.standing.worker.is_none();
        if self.overtaken.is_none() || !jobs.iter().any(unseen) {
            return Ok(HashMap::new());
        }
        let clerks = self.store.clerks().await?;
        Ok(clerks
            .into_iter()
            .map(|clerk| (clerk.id, clerk.watermark.number))
            .collect())
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
    fn event(&self, job: &Job, now: UnixMs, known: &Known) -> Option<Event> {
        let watched = |wake_at| Event::Watched {
            wake_at,
            unlisted: job.standing.unlisted,
        };
        match job.standing.state {
            State::Scheduled if job.standing.due_at <= now => Some(Event::Due),
            State::Scheduled => Some(watched(job.standing.due_at)),
            State::Queued => match job.start_by() {
                Some(start_by) if start_by <= now => Some(Event::TooLate { attempt: None }),
                start_by => Some(watched(start_by.unwrap_or(now.after(self.config.margin)))),
            },
            State::Dispatched | State::Running => match &job.standing.worker {
                Some(worker) => Some(self.lease(job, now, known.workers.get(&**worker))),
                None => Some(self.unseen(job, now, known)),
            },
            State::Succeeded | State::Failed | State::Cancelled | State::Expired => None,
        }
    }

    /// What becomes of a dispatch that no report has listed. Silence proves nothing to somebody who
    /// did not hear well.
    fn unseen(&self, job: &Job, now: UnixMs, known: &Known) -> Event {
        let attempt = job.standing.attempt;
        let watched = |wake_at| Event::Watched {
            wake_at,
            unlisted: job.standing.unlisted,
        };
        let check = now.after(self.config.margin);
        let end = match job.given_up_at(self.unheard) {
            Some(end) if end <= now => match self.grace(job) {
                Some(grace) => job.given_up_at(grace),
                // Nobody can look while the broker is away.
                None if !self.health.can_publish() => return watched(check),
                None => return watched(now.after(LOOK)),
            },
            end => end,
        };
        match end {
            Some(end) if end <= now && self.health.hears_for(self.unheard) => Event::TooLate {
                attempt: Some(attempt),
            },
            Some(end) if end <= now => watched(now.after(self.unheard)),
            _ if self.is_lost(job, now, known) => Event::Doubted { attempt },
            end => watched(end.map_or(check, |end| end.min(check))),
        }
    }

    /// The time after its start deadline for which a dispatch may go unheard: where workers consume that send
    /// no reports, one of them may run it. `None` until the queue was looked at.
    fn grace(&self, job: &Job) -> Option<Duration> {
        if self.overtaken.is_none() || self.window.all_report(&job.queue)? {
            return Some(self.unheard);
        }
        Some(self.unheard + Duration::from_secs(u64::from(job.spec.timeout_s)))
    }

    /// Whether a dispatch that no report has listed is gone from its queue. One that may not be
    /// confirmed yet is its clerk's, and a paused queue may keep it for ever.
    fn is_lost(&self, job: &Job, now: UnixMs, known: &Known) -> bool {
        let Some((overtaken, dispatch)) = self.overtaken.as_ref().zip(job.standing.dispatch) else {
            return false;
        };
        let watermark = known.watermarks.get(&dispatch.clerk);
        let confirmed = watermark.is_none_or(|number| dispatch.number < *number);
        let lost = overtaken.is_lost(job, now);
        lost && confirmed
            && !self.window.is_paused(&job.queue)
            && self.health.hears_for(overtaken.margin(job))
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
            // As whichever attempt: a job may have been left to the worker that runs an earlier one.
            Some(row) if row.in_hand.iter().any(|(id, _)| *id == job.id) => {
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

    /// Gives a look to dispatches that were inserted without one and are still unfinished.
    async fn watch(&self) {
        let margin = self.config.margin;
        let mut every = tokio::time::interval(margin);
        let mut from = None;
        loop {
            every.tick().await;
            if let Err(error) = self.watch_more(&mut from).await {
                tracing::warn!(%error, "old dispatches could not be given a look");
            }
        }
    }

    /// Goes on where it was left, in slices that the store has time for.
    async fn watch_more(&self, from: &mut Option<UnixMs>) -> Result<(), Error> {
        let margin = self.config.margin;
        let to = self.clock.now().before(margin);
        let mut begin = match *from {
            Some(from) => from,
            None => self.unwatched_since().await?,
        };
        while begin < to {
            let end = begin.after(SLICE).min(to);
            let ids = (JobId::first_of(begin), JobId::first_of(end));
            let now = self.clock.now();
            self.store.watch(ids.0, ids.1, now).await?;
            begin = end;
            *from = Some(begin);
        }
        // Twice the stretch of one round, so that none falls between two.
        *from = Some(to.before(margin * 2));
        Ok(())
    }

    /// Since when there may have been no clerk who gave looks: those that are still on record as living
    /// were last seen then.
    async fn unwatched_since(&self) -> Result<UnixMs, Error> {
        let clerks = self.store.clerks().await?;
        let seen = clerks.iter().map(|clerk| clerk.seen_at).min();
        let away = self.clock.now().before(AWAY);
        let margin = self.config.margin;
        Ok(seen.map_or(away, |seen| away.min(seen.before(margin * 3))))
    }
}
