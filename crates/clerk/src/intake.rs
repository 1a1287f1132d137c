//! Takes new jobs: what a submission is, and how it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{
    Clock as _, Content, Job, JobId, QueueName, Spec, Standing, SystemClock, UnixMs,
};
use clerkwork_faults::{Point, reach};
use clerkwork_store::{Accepted, Key, NewJob, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

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
#[derive(Debug)]
pub(crate) struct Reply<T> {
    answer: oneshot::Sender<Result<T, Refusal>>,
    turn: Turn,
}

impl<T> Reply<T> {
    /// With where the answer comes, and with what whoever waits for it may give up.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<T, Refusal>>, Turn) {
        let (answer, answered) = oneshot::channel();
        let turn = Turn::default();
        let reply = Self {
            answer,
            turn: turn.clone(),
        };
        (reply, answered, turn)
    }

    /// Whether what was asked may be sent to the store: whoever asked has not given up, and will not
    /// from now on.
    pub(crate) fn claim(&self) -> bool {
        self.turn.claim()
    }

    /// Answers. Nobody is left to tell where the client went away.
    pub(crate) fn send(self, answer: Result<T, Refusal>) {
        drop(self.answer.send(answer));
    }
}

/// Decides between the writer, which sends a submission to the store, and whoever asked, who gives it
/// up: only one of them may.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Whether nobody else was first.
    pub(crate) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Takes new jobs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    asks: mpsc::Sender<Asked>,
    room: Room,
    store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
}

/// How long a submission may wait until it is sent to the store: behind the commit before it, which a
/// slow disk may take two seconds for.
const TURN: Duration = Duration::from_secs(3);
/// How long after that a submission counts as unknown, whatever the writer does.
const ANSWER: Duration = Duration::from_secs(11);

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
        let ask = |reply| Asked::One(Box::new(submission), reply);
        let answer = self.ask(ask).await;
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
        let answer = self.ask(|reply| Asked::Batch(submissions, reply)).await;
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

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Asked) -> Result<T, Refusal> {
        let (reply, mut answered, turn) = Reply::new();
        let by = Instant::now() + TURN;
        let taken = timeout_at(by, self.asks.send(ask(reply))).await;
        let answered = match taken {
            Ok(Ok(())) => match timeout_at(by, &mut answered).await {
                Err(_) if turn.claim() => return Err(not_now()),
                Err(_) => timeout_at(by + ANSWER, answered).await,
                answered => answered,
            },
            Ok(Err(_)) | Err(_) => return Err(not_now()),
        };
        match answered {
            Ok(Ok(answer)) => {
                reach(Point::IntakeBefore202);
                answer
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::OutcomeUnknown),
        }
    }
}

fn not_now() -> Refusal {
    Refusal::Unavailable("the store does not take jobs now".to_owned())
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

#[cfg(test)]
mod tests {
    use clerkwork_store::sqlite;

    use super::*;
    use crate::config::Config;
    use crate::fixture::submission;

    /// An intake with room for one question, and where its writer would take it.
    async fn intake() -> (Intake, mpsc::Receiver<Asked>) {
        let store = sqlite::memory().await.unwrap();
        let clock = Arc::new(SystemClock::new());
        let room = Room::new(&Config::default(), store.clone(), clock.clone());
        let (asks, asked) = mpsc::channel(1);
        (Intake::new(asks, room, store, clock), asked)
    }

    fn reply(asked: Asked) -> Reply<Answer> {
        match asked {
            Asked::One(_, reply) => reply,
            Asked::Batch(..) => panic!("one job was asked for"),
        }
    }

    #[tokio::test]
    async fn what_nobody_sends_to_the_store_is_refused_soon_and_never_sent_later() {
        let (intake, mut asked) = intake().await;
        tokio::time::pause();
        let begun = Instant::now();
        let refused = intake.submit(submission("q")).await;
        assert!(matches!(refused, Err(Refusal::Unavailable(_))));
        assert_eq!(begun.elapsed().as_secs(), TURN.as_secs());
        // The second finds no place to wait in: the first lies there.
        let refused = intake.submit(submission("q")).await;
        assert!(matches!(refused, Err(Refusal::Unavailable(_))));
        assert_eq!(begun.elapsed().as_secs(), 2 * TURN.as_secs());
        assert!(!reply(asked.recv().await.unwrap()).claim());
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_was_sent_is_never_refused_and_counts_as_unknown_in_the_end() {
        let (intake, mut asked) = intake().await;
        tokio::time::pause();
        let begun = Instant::now();
        let writer = async {
            let reply = reply(asked.recv().await.unwrap());
            assert!(reply.claim());
            std::future::pending::<()>().await;
            drop(reply);
        };
        tokio::select! {
            answer = intake.submit(submission("q")) => {
                assert!(matches!(answer, Err(Refusal::OutcomeUnknown)));
            }
            () = writer => {}
        }
        assert_eq!(begun.elapsed().as_secs(), (TURN + ANSWER).as_secs());
    }
}
