//! The writer: one task with one connection that commits new jobs, hands out the backlog and beats.
//!
//! It gathers what arrived while the last commit was under way into one statement and one commit:
//! group commit without a timer. Heartbeat and dispatching transactions share the connection, so a
//! clerk that was taken over finds out before it dispatches anything more.

mod gathered;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{ClerkId, Clock as _, Dispatch, Job, QueueName, State, SystemClock, UnixMs};
use clerkwork_faults::{Defect, Point, has, reach};
use clerkwork_store::{Accepted, Error, HandOut, NewJob, Store, Taken, Writer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::dispatcher::{Dispatcher, Out};
use crate::error::Refusal;
use crate::health::Health;
use crate::intake::Asked;
use crate::ledger::Ledger;
use crate::outstanding::Outstanding;
use crate::waiters::Waiters;
use crate::window::Window;
use gathered::{Committed, Gathered};
pub(crate) use wanted::Wanted;

/// The task's state.
#[derive(Debug)]
pub(crate) struct WriterTask {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) ledger: Ledger,
    pub(crate) outstanding: Outstanding,
    pub(crate) window: Window,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) waiters: Waiters,
    pub(crate) health: Health,
    pub(crate) incarnation: watch::Sender<ClerkId>,
    pub(crate) asks: mpsc::Receiver<Asked>,
    pub(crate) wanted: mpsc::Receiver<Wanted>,
    /// How long a worker that started a job just in time may take to be heard of.
    pub(crate) unheard: Duration,
    pub(crate) stop: CancellationToken,
}

/// How long the store may be away before submissions are refused.
const UNSENT: Duration = Duration::from_secs(2);
/// How long the store may leave a commit open before submissions are answered as unknown.
const SENT: Duration = Duration::from_secs(10);
/// A clock that is off by less than this is left alone.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

impl WriterTask {
    /// Runs until it is stopped and everything that waited is done; then closes this incarnation if
    /// nothing of it is open.
    pub(crate) async fn run(mut self, first: Box<dyn Writer>) {
        let mut writer = Some(first);
        let mut beat = tokio::time::interval(self.config.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => self.beat(&mut writer).await,
                Some(wanted) = self.wanted.recv() => self.hand_out(&mut writer, wanted).await,
                Some(asked) = self.asks.recv() => self.accept(&mut writer, asked).await,
                () = self.stop.cancelled() => break,
            }
        }
        if self.dispatcher.settled().await
            && let Some(writer) = &mut writer
            && let Err(error) = writer.close().await
        {
            tracing::warn!(%error, "this clerk's row could not be closed; a peer will see to it");
        }
    }

    async fn beat(&self, writer: &mut Option<Box<dyn Writer>>) {
        if !self.health.hears() {
            // Whoever hears nothing must not seem to: peers take over what it cannot see to.
            return self.look_at_store().await;
        }
        let Ok(open) = self.open(writer).await else {
            return;
        };
        let asked = self.clock.now();
        reach(Point::WatermarkBeforeWrite);
        match open.heartbeat(self.ledger.watermark(asked), asked).await {
            Ok(truth) => {
                reach(Point::WatermarkAfterWrite);
                let moved = self.clock.heed(asked, truth, CLOCK_TOLERANCE);
                self.health.time_moved(moved);
                self.health.beat();
            }
            Err(error) => self.failed(writer, &error).await,
        }
    }

    /// Whether the store answers, where no heartbeat says so.
    async fn look_at_store(&self) {
        let asked = self.clock.now();
        match self.store.now().await {
            Ok(truth) => {
                let moved = self.clock.heed(asked, truth, CLOCK_TOLERANCE);
                self.health.time_moved(moved);
                self.health.store_is_there();
            }
            Err(_) => self.health.store_failed(),
        }
    }

    async fn accept(&mut self, writer: &mut Option<Box<dyn Writer>>, first: Asked) {
        let now = self.clock.now();
        let mut gathered = Gathered::new(first, &mut self.asks, &self.waiters, now);
        if let Err(error) = self.open_in_time(writer).await {
            return gathered.refuse(&error.into());
        }
        gathered.claim();
        if gathered.jobs.is_empty() {
            return;
        }
        // Numbers are those of the incarnation that commits them.
        self.dispatch_directly(&mut gathered.jobs, self.incarnation());
        match self.commit(writer, &mut gathered.jobs).await {
            Ok(accepted) => self.answer(gathered, &accepted).await,
            Err(refusal) => {
                gathered.refuse(&refusal);
                if refusal == Refusal::OutcomeUnknown {
                    self.fence().await;
                }
            }
        }
    }

    /// Jobs that are due, in a queue with credit, go out under numbers taken before anything is sent,
    /// so that an honest reply is never taken for a stranger's.
    fn dispatch_directly(&self, jobs: &mut [NewJob], clerk: ClerkId) {
        if !self.health.can_publish() || !self.dispatcher.has_room() {
            return;
        }
        let mut direct: Vec<&mut Job> = jobs
            .iter_mut()
            .map(|new| &mut new.job)
            .filter(|job| job.standing.state == State::Queued)
            .filter(|job| self.window.take_direct(&job.queue))
            .collect();
        let count = u32::try_from(direct.len()).unwrap_or(u32::MAX);
        let now = self.clock.now();
        let first = self.ledger.open(count, now);
        // What has no look of its own is given one by the scheduler's walk before this.
        let walked = now.after(self.config.margin * 2);
        for (job, number) in direct.iter_mut().zip(first..) {
            job.standing.state = State::Dispatched;
            job.standing.attempt = 1;
            job.standing.dispatch = Some(Dispatch { clerk, number });
            let end = job.given_up_at(self.unheard);
            job.standing.wake_at =
                end.filter(|end| *end < walked || has(Defect::DeadlineHidesLoss));
        }
    }

    /// Commits the batch, with as many incarnations as it takes within the time that a client gets.
    /// Where the outcome is unknown at its end, the incarnation is still to be fenced.
    async fn commit(
        &self,
        writer: &mut Option<Box<dyn Writer>>,
        jobs: &mut [NewJob],
    ) -> Result<Vec<Accepted>, Refusal> {
        let begun = Instant::now();
        let mut sent = false;
        loop {
            let failure = match self.open(writer).await {
                Ok(open) => match open.accept(jobs).await {
                    Ok(accepted) => return Ok(accepted),
                    Err(error) => {
                        self.lost(writer, &error);
                        error
                    }
                },
                Err(error) => error,
            };
            // The old incarnation's numbers are not ours any more: the same jobs wait their turn.
            self.take_back(jobs);
            if has(Defect::AcceptBeforeCommit) {
                return Ok(vec![Accepted::New; jobs.len()]);
            }
            let unknown = matches!(failure, Error::Unknown(_));
            sent |= unknown;
            let end = begun + if sent { SENT } else { UNSENT };
            match failure {
                Error::Unavailable(_) | Error::Unknown(_) | Error::Fenced
                    if Instant::now() < end =>
                {
                    // In time or not: a fence that is late comes from a peer.
                    if unknown && timeout_at(end, self.fence()).await.is_err() {
                        return Err(Refusal::OutcomeUnknown);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ if sent => return Err(Refusal::OutcomeUnknown),
                failure => return Err(failure.into()),
            }
        }
    }

    fn take_back(&self, jobs: &mut [NewJob]) {
        let is_out = |new: &&mut NewJob| new.job.standing.state == State::Dispatched;
        for new in jobs.iter_mut().filter(is_out) {
            let wake_at = new.job.start_by();
            let standing = &mut new.job.standing;
            standing.state = State::Queued;
            standing.attempt = 0;
            standing.wake_at = wake_at;
            if let Some(dispatch) = standing.dispatch.take() {
                self.ledger.close([dispatch.number]);
            }
            self.window.give_back(&new.job.queue, 1);
        }
    }

    /// Publishes what was committed as dispatched and answers everybody.
    async fn answer(&self, gathered: Gathered, accepted: &[Accepted]) {
        reach(Point::IntakeAfterCommit);
        let mut committed = Committed::new(self.clock.now());
        gathered.answer(accepted, |new, accepted| {
            self.committed(new, accepted, &mut committed)
        });
        self.publish(committed.outs, committed.dispatched).await;
        for queue in &committed.waiting {
            self.window.waiting(queue);
        }
    }

    /// Sees to a job's dispatch, as far as the commit made it one.
    fn committed(&self, new: NewJob, accepted: Accepted, committed: &mut Committed) -> Arc<Job> {
        let NewJob { job, input, .. } = new;
        let job = Arc::new(job);
        match (accepted, job.standing.dispatch) {
            (Accepted::New, Some(dispatch)) => {
                let out = self.dispatcher.out(&job, dispatch, input, committed.at);
                committed.outs.push(out);
                committed.dispatched.push(job.clone());
            }
            (Accepted::New, None) => committed.note_waiting(&job),
            // What was sent a second time was dispatched the first time, which is in doubt and will be
            // seen to.
            _ => self.unused(&job),
        }
        job
    }

    /// A number and a credit that were taken for a job that is not there.
    fn unused(&self, job: &Job) {
        if let Some(dispatch) = job.standing.dispatch {
            self.ledger.close([dispatch.number]);
            self.window.give_back(&job.queue, 1);
        }
    }

    async fn hand_out(&self, writer: &mut Option<Box<dyn Writer>>, wanted: Wanted) {
        let Wanted {
            queue,
            limit,
            answer,
        } = wanted;
        let handed = self.hand_out_some(writer, queue, limit).await;
        // The scheduler may have gone at the end of a drain.
        let _ = answer.send(handed);
    }

    async fn hand_out_some(
        &self,
        writer: &mut Option<Box<dyn Writer>>,
        queue: QueueName,
        limit: u32,
    ) -> Result<u32, Refusal> {
        // Numbers are those of the incarnation that commits them.
        let open = self.open(writer).await?;
        if !self.dispatcher.has_room() {
            return Ok(0);
        }
        let now = self.clock.now();
        let first_number = self.ledger.open(limit, now);
        let end = first_number + i64::from(limit);
        let hand_out = HandOut {
            queue,
            limit,
            first_number,
            now,
            // All are looked at when the first of them may have been started too late.
            wake_at: now.after(self.config.margin.min(self.unheard)),
        };
        let taken = match open.hand_out(&hand_out).await {
            Ok(taken) => taken,
            Err(error) => {
                self.failed(writer, &error).await;
                self.ledger.close(first_number..end);
                return Err(error.into());
            }
        };
        let used = i64::try_from(taken.len()).unwrap_or(i64::MAX);
        self.ledger.close(first_number + used..end);
        let (mut outs, mut dispatched) = (Vec::with_capacity(taken.len()), Vec::new());
        for Taken { job, input } in taken {
            if let Some(dispatch) = job.standing.dispatch {
                outs.push(self.dispatcher.out(&job, dispatch, input, now));
                dispatched.push(Arc::new(job));
            }
        }
        let count = u32::try_from(outs.len()).unwrap_or(u32::MAX);
        self.publish(outs, dispatched).await;
        Ok(count)
    }

    /// Remembers what goes out before an answer can come.
    async fn publish(&self, outs: Vec<Out>, dispatched: Vec<Arc<Job>>) {
        if !outs.is_empty() {
            self.outstanding.remember(dispatched);
            self.dispatcher.publish(outs).await;
        }
    }

    /// The connection of this incarnation, or of a new one.
    async fn open<'w>(
        &self,
        writer: &'w mut Option<Box<dyn Writer>>,
    ) -> Result<&'w mut Box<dyn Writer>, Error> {
        let open = match writer.take() {
            Some(open) => open,
            None => match self.store.writer(&self.config.name).await {
                Ok(open) => {
                    tracing::info!(clerk = %open.clerk(), "a new incarnation of this clerk begins");
                    self.ledger.restart();
                    self.incarnation.send_replace(open.clerk());
                    open
                }
                Err(error) => {
                    self.health.store_failed();
                    return Err(error);
                }
            },
        };
        Ok(writer.insert(open))
    }

    /// The connection, as soon as there is one within the time that the store may be away.
    async fn open_in_time(&self, writer: &mut Option<Box<dyn Writer>>) -> Result<(), Error> {
        let end = Instant::now() + UNSENT;
        loop {
            match timeout_at(end, self.open(writer)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(Error::Unavailable(_) | Error::Unknown(_) | Error::Fenced))
                    if Instant::now() < end =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                // Whatever the store does not say of its connection, of no job was anything sent.
                Err(_) | Ok(Err(Error::Unknown(_))) => {
                    self.health.store_failed();
                    return Err(Error::Unavailable("it does not answer".to_owned()));
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// This incarnation is over. Where a commit's outcome is unknown it fences itself; what it
    /// dispatched is doubted by that, or else by a peer.
    async fn failed(&self, writer: &mut Option<Box<dyn Writer>>, error: &Error) {
        self.lost(writer, error);
        if matches!(error, Error::Unknown(_)) {
            self.fence().await;
        }
    }

    fn lost(&self, writer: &mut Option<Box<dyn Writer>>, error: &Error) {
        tracing::warn!(%error, clerk = %self.incarnation(), "the writer lost its connection");
        *writer = None;
        self.health.store_failed();
    }

    /// Ends the old incarnation in the store too, which waits for what is in flight.
    async fn fence(&self) {
        let (far, now) = (UnixMs(i64::MAX), self.clock.now());
        if let Err(error) = self.store.take_over(self.incarnation(), far, now).await {
            tracing::warn!(%error, "the old incarnation could not be fenced yet");
        }
    }

    fn incarnation(&self) -> ClerkId {
        *self.incarnation.borrow()
    }
}
