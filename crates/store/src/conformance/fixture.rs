//! A store of one claim's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::public::JSON;
use clerkwork_core::{
    ClerkId, Content, Dispatch, Event, Job, JobId, Moment, QueueName, Spec, Standing, State,
    UnixMs, transition,
};
use futures_util::future::BoxFuture;

use crate::{Accepted, Error, Kept, NewJob, Recorder, Store, Success, Writer};

/// Opens the store; the same one each time.
pub type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Store>, Error>> + Send + Sync>;
/// Removes the store for good.
pub type End = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A store of one claim's own, with a clerk and a recorder.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub writer: Box<dyn Writer>,
    pub recorder: Box<dyn Recorder>,
    pub now: UnixMs,
    open: Open,
    end: End,
    numbers: i64,
}

impl Fixture {
    /// A fixture over what `open` opens and `end` removes.
    pub async fn new(open: Open, end: End) -> Self {
        let store = open().await.expect("the store opens");
        let writer = store.writer("clerk").await.expect("a clerk registers");
        let recorder = store.recorder().await.expect("a recorder opens");
        let now = store.now().await.expect("the time");
        Self {
            store,
            writer,
            recorder,
            now,
            open,
            end,
            numbers: 0,
        }
    }

    /// Drops everything without closing anything, and opens it again.
    pub async fn crash(&mut self) {
        // Something must be here while nothing of the store is.
        let memory = crate::sqlite::memory().await.expect("a store in memory");
        self.hold(memory).await;
        let store = (self.open)().await.expect("the store opens again");
        self.hold(store).await;
    }

    async fn hold(&mut self, store: Arc<dyn Store>) {
        self.writer = store.writer("clerk").await.expect("a clerk registers");
        self.recorder = store.recorder().await.expect("a recorder opens");
        self.store = store;
    }

    /// Closes the store and removes it.
    pub async fn end(self) {
        let Self {
            store,
            writer,
            recorder,
            end,
            ..
        } = self;
        drop((writer, recorder));
        store.close().await;
        drop(store);
        end().await;
    }

    /// An undispatched job that is due now.
    pub fn job(&self) -> NewJob {
        self.job_due(self.now)
    }

    /// A job that is due at `due_at`.
    pub fn job_due(&self, due_at: UnixMs) -> NewJob {
        let input = Bytes::from_static(b"{\"n\":1}");
        NewJob {
            job: Job {
                id: JobId::at(self.now),
                tenant: "default".into(),
                queue: queue("render"),
                spec: Spec {
                    tags: Vec::new(),
                    timeout_s: 600,
                    start_within_s: None,
                    max_attempts: 3,
                    retry_delay_s: 1,
                    webhook: None,
                    trace: None,
                },
                input: Content {
                    media_type: JSON.to_owned(),
                    size: input.len() as u64,
                },
                created_at: self.now,
                standing: Standing::new(self.now, due_at),
                output: None,
                failure: None,
                retry_of: None,
                retried_as: None,
            },
            input,
            key: None,
            batch: None,
        }
    }

    /// A job that is already dispatched by this fixture's clerk, under its next number.
    pub fn dispatched(&mut self) -> NewJob {
        self.numbers += 1;
        let mut new = self.job();
        new.job.standing.state = State::Dispatched;
        new.job.standing.attempt = 1;
        new.job.standing.dispatch = Some(self.dispatch(self.numbers));
        new
    }

    /// A dispatch by this fixture's clerk.
    pub fn dispatch(&self, number: i64) -> Dispatch {
        Dispatch {
            clerk: self.clerk(),
            number,
        }
    }

    pub fn clerk(&self) -> ClerkId {
        self.writer.clerk()
    }

    /// Accepts jobs that must all be new.
    pub async fn accept(&mut self, jobs: &[NewJob]) {
        let answers = self.writer.accept(jobs).await.expect("accepted");
        assert_eq!(answers, vec![Accepted::New; jobs.len()]);
    }

    /// Accepts `count` dispatched jobs; their ids.
    pub async fn accept_dispatched(&mut self, count: usize) -> Vec<JobId> {
        let jobs: Vec<NewJob> = (0..count).map(|_| self.dispatched()).collect();
        self.accept(&jobs).await;
        jobs.iter().map(|new| new.job.id).collect()
    }

    /// A job, which must be there.
    pub async fn get(&self, id: JobId) -> Job {
        self.kept(id).await.job
    }

    /// A job with its output.
    pub async fn kept(&self, id: JobId) -> Kept {
        let mut found = self.store.get(None, &[id], u64::MAX).await.expect("read");
        assert_eq!(found.len(), 1, "job {id} is there once");
        found.remove(0)
    }

    /// A job as the recorder has it.
    pub async fn load(&mut self, id: JobId) -> Job {
        let mut found = self.recorder.load(&[id]).await.expect("loaded");
        assert_eq!(found.len(), 1, "job {id} is there once");
        found.remove(0)
    }

    /// Accepts a job and brings it, by these events, to where it shall be.
    pub async fn brought(&mut self, new: NewJob, events: Vec<Event>) -> Job {
        let id = new.job.id;
        self.accept(&[new]).await;
        for event in events {
            assert!(self.happens(id, event).await, "the event has its effect");
        }
        self.load(id).await
    }

    /// Lets an event happen to a job, as a recorder does; whether it was stored.
    pub async fn happens(&mut self, id: JobId, event: Event) -> bool {
        let job = self.load(id).await;
        let Some(change) = transition(&job, event, &self.moment()) else {
            return false;
        };
        let applied = self.recorder.apply(&[change]).await.expect("applied");
        applied == [true]
    }

    /// What events are judged by now.
    pub fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            lease: Duration::from_secs(30),
            chance: 0.5,
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A queue of this name.
pub fn queue(name: &str) -> QueueName {
    name.parse().expect("a queue's name")
}

/// A success of a job's first attempt.
pub fn success(job: JobId) -> Success {
    Success {
        job,
        attempt: 1,
        media_type: JSON.to_owned(),
        output: Bytes::from_static(b"{\"done\":true}"),
        worker: None,
        started_at: None,
    }
}

/// The id before which all jobs are that were accepted by now.
pub fn next_id(now: UnixMs) -> JobId {
    JobId::first_of(now.after(Duration::from_millis(1)))
}
