//! Takes new jobs: what a submission is, and how it is asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{
    Clock as _, Content, Job, JobId, QueueName, Spec, Standing, SystemClock, UnixMs,
};
use clerkwork_store::{Accepted, Key, NewJob, Store};
use tokio::sync::{mpsc, oneshot};

use crate::error::Refusal;
use crate::room::{Room, Taken};
use crate::waiters::Watch;

/// A job that a client asks for, already checked.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Its queue, which is known.
    pub queue: QueueName,
    /// What was asked for.
    pub spec: Spec,
    /// How long to wait before it is due.
    pub delay: Duration,
    /// The input.
    pub input: Bytes,
    /// The input's media type.
    pub input_type: String,
    /// The claim of its idempotency key.
    pub key: Option<Key>,
    /// The job that this one is made from by hand.
    pub retry_of: Option<JobId>,
    /// Whether to subscribe to its changes before it is accepted.
    pub watch: bool,
}

/// What became of a submission.
#[derive(Debug)]
pub enum Answer {
    /// It is accepted: durable, and it will be run.
    New {
        /// The job as it was accepted.
        job: Arc<Job>,
        /// The subscription, if one was asked for; nothing was missed.
        watch: Option<Watch>,
    },
    /// It had been asked for before in the same words: this is the job.
    Replayed(JobId),
    /// Its key belongs to something else.
    KeyReused,
    /// The job to make it from is not there, not done, or not to be retried.
    NoOriginal,
    /// Its data cannot be stored.
    Unfit,
}

/// What became of jobs that were submitted together: one thing for all of them.
#[derive(Debug)]
pub enum BatchAnswer {
    /// They are accepted: the jobs as they were accepted, in order.
    New(Vec<Arc<Job>>),
    /// They had been asked for before in the same words: the ids of those jobs, in order.
    Replayed(Vec<JobId>),
    /// Their key belongs to something else.
    KeyReused,
    /// The data of one of them cannot be stored.
    Unfit,
}

/// What is on its way to the writer, with where the answer goes.
#[derive(Debug)]
pub(crate) enum Asked {
    /// One job.
    One(Box<Submission>, Reply<Answer>),
    /// Jobs that are committed together.
    Batch(Vec<Submission>, Reply<BatchAnswer>),
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Takes new jobs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    asks: mpsc::Sender<Asked>,
    room: Room,
    store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
}

/// How long a submission may wait for the writer to take it.
const TURN: Duration = Duration::from_secs(2);
/// How long until a submission that was taken counts as unknown.
const ANSWER: Duration = Duration::from_secs(12);

impl Intake {
    pub(crate) fn new(
        asks: mpsc::Sender<Asked>,
        room: Room,
        store: Arc<dyn Store>,
        clock: Arc<SystemClock>,
    ) -> Self {
        Self {
            asks,
            room,
            store,
            clock,
        }
    }

    /// Accepts a job: when this returns [`Answer::New`] it is committed.
    ///
    /// Cancel safe: a job whose caller went away is accepted or not, never half.
    ///
    /// # Errors
    /// The store is away, did not answer, or the tenant or the queue has its most jobs.
    pub async fn submit(&self, submission: Submission) -> Result<Answer, Refusal> {
        let queue = std::iter::once(&submission.queue);
        let taken = match self.room.take(&submission.tenant, queue).await {
            Ok(taken) => taken,
            Err(full) => {
                return Ok(match self.claimed(submission.key.as_ref(), full).await? {
                    Some(id) => Answer::Replayed(id),
                    None => Answer::KeyReused,
                });
            }
        };
        let (reply, answered) = oneshot::channel();
        let asked = Asked::One(Box::new(submission), reply);
        let answer = self.ask(asked, answered).await;
        keep_or_give_back(taken, &answer, |answer| {
            matches!(answer, Answer::New { .. })
        });
        answer
    }

    /// Accepts jobs of one tenant, all or none: when this returns [`BatchAnswer::New`] all of them are
    /// committed, in one transaction. All have the same key; their subscriptions are not heeded.
    ///
    /// Cancel safe: jobs whose caller went away are accepted or not, never some of them.
    ///
    /// # Errors
    /// The store is away, did not answer, or the tenant or one of the queues has its most jobs.
    pub async fn submit_batch(&self, submissions: Vec<Submission>) -> Result<BatchAnswer, Refusal> {
        let Some(first) = submissions.first() else {
            return Ok(BatchAnswer::New(Vec::new()));
        };
        let queues = submissions.iter().map(|submission| &submission.queue);
        let taken = match self.room.take(&first.tenant, queues).await {
            Ok(taken) => taken,
            Err(full) => {
                return Ok(match self.claimed(first.key.as_ref(), full).await? {
                    // Equal words are equally many jobs.
                    Some(id) => BatchAnswer::Replayed(id.batch(submissions.len()).collect()),
                    None => BatchAnswer::KeyReused,
                });
            }
        };
        let (reply, answered) = oneshot::channel();
        let asked = Asked::Batch(submissions, reply);
        let answer = self.ask(asked, answered).await;
        keep_or_give_back(taken, &answer, |answer| {
            matches!(answer, BatchAnswer::New(_))
        });
        answer
    }

    /// What is there already needs no room: the first job of this key, `None` if it is another
    /// request's; the refusal, if nothing is.
    async fn claimed(&self, key: Option<&Key>, full: Refusal) -> Result<Option<JobId>, Refusal> {
        let Some(key) = key else { return Err(full) };
        match self.store.claimed(key, self.clock.now()).await? {
            Some(Accepted::Replayed(id)) => Ok(Some(id)),
            Some(_) => Ok(None),
            None => Err(full),
        }
    }

    async fn ask<T>(
        &self,
        asked: Asked,
        answered: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        if self.asks.send_timeout(asked, TURN).await.is_err() {
            return Err(Refusal::Unavailable(
                "the clerk takes no jobs now".to_owned(),
            ));
        }
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
        }
    }
}

/// Keeps the room that was taken for jobs that are there, or may be.
fn keep_or_give_back<T>(taken: Taken, answer: &Result<T, Refusal>, is_new: fn(&T) -> bool) {
    let kept = match answer {
        Ok(answer) => is_new(answer),
        Err(refusal) => *refusal == Refusal::OutcomeUnknown,
    };
    if !kept {
        taken.give_back();
    }
}

impl Submission {
    /// The record of the job as it shall be, undispatched.
    pub(crate) fn into_new_job(self, id: JobId, now: UnixMs) -> NewJob {
        let job = Job {
            id,
            tenant: self.tenant,
            queue: self.queue,
            spec: self.spec,
            input: Content {
                media_type: self.input_type,
                size: self.input.len() as u64,
            },
            created_at: now,
            standing: Standing::new(now, now.after(self.delay)),
            output: None,
            failure: None,
            retry_of: self.retry_of,
            retried_as: None,
        };
        let mut new = NewJob {
            job,
            input: self.input,
            key: self.key,
            batch: None,
        };
        if new.job.standing.wake_at.is_none() {
            new.job.standing.wake_at = new.job.start_by();
        }
        new
    }
}
