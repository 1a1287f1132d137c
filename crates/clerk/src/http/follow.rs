//! Following one job: its states and live events in order, each with the position after it.
//!
//! Subscribe, then read the store, then follow. Nothing waits in a queue for a follower: it pulls
//! what comes after its position, so a slow one is told the newest state and which events it missed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use clerkwork_core::{Gap, JobId, JobObject, public};
use tokio::time::{Instant, sleep_until};

use crate::events::{Next, Position, one_line};
use crate::http::auth::Reader;
use crate::http::hold;
use crate::http::problem::{Kind, Problem};
use crate::http::view::Sight;
use crate::{Desk, Shown, Watch};

/// How long an event that others passed on its way is waited for.
const HOLE: Duration = Duration::from_millis(500);
/// How long an end waits for all that its attempt told before.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// What a client is told.
#[derive(Debug)]
pub(crate) struct Frame {
    /// How far the client has come with it.
    pub(crate) id: Position,
    /// `state`, `progress`, `log`, `chunk` or `gap`.
    pub(crate) event: &'static str,
    /// JSON without a line break.
    pub(crate) data: Bytes,
    /// Whether it is the last one.
    pub(crate) last: bool,
}

/// Follows one job.
#[derive(Debug)]
pub(crate) struct Follower {
    desk: Arc<Desk>,
    sight: Sight,
    job: JobId,
    watch: Watch,
    at: Position,
    /// A state that was not shown yet.
    pending: Option<Arc<Shown>>,
    /// The pending state goes before any event.
    at_once: bool,
    /// Until when the pending state, which ends an attempt, waits for events.
    end: Option<Instant>,
    /// The last event that is shown before that state, once it waits no more.
    last: Option<u64>,
}

/// What is to be done next.
enum Step {
    Show(Frame),
    State(Arc<Shown>),
    Wait(Option<Instant>),
}

impl Follower {
    /// Begins to follow, after a position that the client has come to before; `None` where it has seen
    /// the end. A position that cannot be of this job counts as none.
    ///
    /// # Errors
    /// The tenant has no such job.
    pub(crate) async fn begin(
        desk: &Arc<Desk>,
        reader: &Reader,
        job: JobId,
        after: Option<Position>,
    ) -> Result<Option<Self>, Problem> {
        let watch = desk.waiters.subscribe(job);
        let first = hold::read(desk, reader.tenant(), job).await?;
        let first = first.filter(|first| reader.may_use(&first.job.queue));
        let first = first.ok_or_else(Problem::no_such_job)?;
        let (rev, attempt) = (first.rev, first.job.attempt);
        let after = after.filter(|after| after.rev <= rev && after.attempt <= attempt);
        let seen = after.is_some_and(|after| after.rev == rev);
        if seen && first.job.done {
            return Ok(None);
        }
        let start = Position {
            rev: 0,
            attempt,
            seq: 0,
        };
        Ok(Some(Self {
            desk: desk.clone(),
            sight: reader.sight(),
            job,
            watch,
            at: after.unwrap_or(start),
            // Once the end is shown nothing follows, so who comes back gets what it missed before it.
            at_once: !seen && (after.is_none() || !first.job.done),
            pending: (!seen).then_some(first),
            end: None,
            last: None,
        }))
    }

    /// The next frame. Cancel safe.
    ///
    /// # Errors
    /// A bug: the job cannot be written as JSON.
    pub(crate) async fn next(&mut self) -> Result<Frame, Problem> {
        loop {
            self.heed();
            match self.step(Instant::now()) {
                Step::Show(frame) => return Ok(frame),
                Step::State(shown) => {
                    let data = state(&self.desk, self.sight, &shown.job).await?;
                    return Ok(self.show(&shown, data));
                }
                Step::Wait(until) => self.wait(until).await,
            }
        }
    }

    async fn wait(&mut self, until: Option<Instant>) {
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.watch.changed() => {}
            () = time => {}
        }
    }

    /// Takes the newest state, however many events there are to be shown.
    fn heed(&mut self) {
        let known = self.pending.as_ref().map_or(self.at.rev, |shown| shown.rev);
        if let Some(newest) = self.watch.newest().filter(|newest| newest.rev > known) {
            self.pending = Some(newest);
        }
    }

    /// What to do now. A state that ends what the current attempt may tell waits for what it told, for
    /// all of it together no longer than [`LAST_EVENTS`].
    fn step(&mut self, now: Instant) -> Step {
        let Some(shown) = self.pending.clone() else {
            let live = self.live(now, None);
            return live.unwrap_or(Step::Wait(None));
        };
        let (attempt, done) = (shown.job.attempt, shown.job.done);
        if self.at_once || (attempt == self.at.attempt && !done) {
            return Step::State(shown);
        }
        let end = *self.end.get_or_insert(now + LAST_EVENTS);
        if let Some(step) = self.live(now, Some(end)) {
            return step;
        }
        if done && self.at.attempt < attempt {
            self.move_to(attempt);
            let live = self.live(now, Some(end));
            return live.unwrap_or(Step::State(shown));
        }
        Step::State(shown)
    }

    /// What the current attempt tells next; `None` where that is nothing, or nothing any more. From
    /// `end` on nothing is waited for, and what comes later is not added.
    fn live(&mut self, now: Instant, end: Option<Instant>) -> Option<Step> {
        let (attempt, seq) = (self.at.attempt, self.at.seq);
        let mut last = u64::MAX;
        if end.is_some_and(|end| end <= now) {
            let hub = &self.desk.hub;
            last = *self.last.get_or_insert_with(|| hub.last(self.job, attempt));
        }
        if seq >= last {
            return None;
        }
        match self.desk.hub.next(self.job, attempt, seq) {
            Next::Unfit { to } => {
                self.at.seq = to;
                self.live(now, end)
            }
            Next::Event(event) => {
                self.at.seq = event.seq;
                Some(Step::Show(self.frame(event.name(), event.line())))
            }
            Next::Hole { to, since } => {
                let until = since.map(|since| end.unwrap_or(since + HOLE).min(since + HOLE));
                Some(self.missing(to.min(last), until, now))
            }
            Next::Nothing { told: Some(told) } if end.is_some() && told > seq => {
                Some(self.missing(told.min(last), end, now))
            }
            Next::Nothing { .. } => None,
        }
    }

    /// Waits for events that are not here until then, and says afterwards that they are gone.
    fn missing(&mut self, to: u64, until: Option<Instant>, now: Instant) -> Step {
        if let Some(until) = until.filter(|until| now < *until) {
            return Step::Wait(Some(until));
        }
        let gap = Gap {
            attempt: self.at.attempt,
            from: self.at.seq + 1,
            to,
        };
        self.at.seq = to;
        // Three numbers cannot fail to become JSON.
        let data = serde_json::to_vec(&gap).unwrap_or_default();
        Step::Show(self.frame("gap", data.into()))
    }

    fn show(&mut self, shown: &Shown, data: Bytes) -> Frame {
        self.at.rev = shown.rev;
        self.move_to(shown.job.attempt);
        self.at_once = false;
        self.pending = None;
        (self.end, self.last) = (None, None);
        let mut frame = self.frame("state", data);
        frame.last = shown.job.done;
        frame
    }

    fn move_to(&mut self, attempt: u32) {
        if attempt > self.at.attempt {
            self.at.attempt = attempt;
            self.at.seq = 0;
            self.last = None;
        }
    }

    fn frame(&self, event: &'static str, data: Bytes) -> Frame {
        Frame {
            id: self.at,
            event,
            data,
            last: false,
        }
    }
}

/// The job as events show it: without an output that is large.
async fn state(desk: &Desk, sight: Sight, job: &JobObject) -> Result<Bytes, Problem> {
    let mut job = sight.now(desk, job).await;
    if job
        .output_size
        .is_some_and(|size| size > public::MAX_TOLD_OUTPUT)
    {
        job.output = None;
        job.output_omitted = job.output_type.as_deref().is_some_and(public::is_json);
    }
    let written = serde_json::to_string(&job).map_err(|error| {
        tracing::error!(%error, "a state cannot be written");
        Problem::new(Kind::Internal)
    })?;
    Ok(one_line(&written).unwrap_or(written).into())
}
