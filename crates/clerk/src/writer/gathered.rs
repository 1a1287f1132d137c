//! What one commit takes: the jobs that arrived while the last one was under way, and who waits for
//! which of them.

use std::sync::Arc;

use clerkwork_core::{Job, JobId, QueueName, State, UnixMs};
use clerkwork_store::{Accepted, NewJob};
use tokio::sync::mpsc;

use crate::dispatcher::Out;
use crate::error::Refusal;
use crate::intake::{Answer, Asked, BatchAnswer, Reply, Submission};
use crate::waiters::{Waiters, Watch};

/// The most jobs of one commit, beyond the last request's.
const MOST: usize = 1_000;
/// The most input bytes of one commit, beyond the last request's.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Jobs, and those who wait for them in the same order.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) jobs: Vec<NewJob>,
    pending: Vec<Pending>,
    bytes: usize,
}

/// Who waits for the next job, or for the next ones.
enum Pending {
    One(Reply<Answer>, Option<Watch>),
    Batch(Reply<BatchAnswer>, usize),
}

impl Gathered {
    /// Everything that waits now, up to the most. A batch is never parted.
    pub(super) fn new(
        first: Asked,
        asks: &mut mpsc::Receiver<Asked>,
        waiters: &Waiters,
        now: UnixMs,
    ) -> Self {
        let mut gathered = Self::default();
        let mut next = Some(first);
        while let Some(asked) = next {
            gathered.take(asked, waiters, now);
            let full = gathered.jobs.len() >= MOST || gathered.bytes >= MOST_BYTES;
            next = if full { None } else { asks.try_recv().ok() };
        }
        gathered
    }

    fn take(&mut self, asked: Asked, waiters: &Waiters, now: UnixMs) {
        match asked {
            Asked::One(submission, reply) => {
                let watched = submission.watch;
                let id = JobId::at(now);
                let watch = watched.then(|| waiters.subscribe(id));
                self.push(*submission, id, now, None);
                self.pending.push(Pending::One(reply, watch));
            }
            Asked::Batch(submissions, reply) => {
                let first = JobId::first_of_batch(now);
                self.pending.push(Pending::Batch(reply, submissions.len()));
                for (id, submission) in first.batch(submissions.len()).zip(submissions) {
                    self.push(submission, id, now, Some(first));
                }
            }
        }
    }

    fn push(&mut self, submission: Submission, id: JobId, now: UnixMs, batch: Option<JobId>) {
        self.bytes += submission.input.len();
        let new = submission.into_new_job(id, now);
        self.jobs.push(NewJob { batch, ..new });
    }

    /// Answers everybody by what became of their jobs, each of which `settle` sees to.
    pub(super) fn answer(
        self,
        accepted: &[Accepted],
        mut settle: impl FnMut(NewJob, Accepted) -> Arc<Job>,
    ) {
        let mut jobs = self.jobs.into_iter().zip(accepted);
        for pending in self.pending {
            // Nobody is left to tell where the client went away.
            match pending {
                Pending::One(reply, watch) => {
                    if let Some((new, accepted)) = jobs.next() {
                        let job = settle(new, *accepted);
                        let _ = reply.send(Ok(of_one(job, *accepted, watch)));
                    }
                }
                Pending::Batch(reply, count) => {
                    let mut fate = Accepted::New;
                    let settled = jobs.by_ref().take(count).map(|(new, accepted)| {
                        fate = *accepted;
                        settle(new, *accepted)
                    });
                    let settled = settled.collect();
                    let _ = reply.send(of_batch(settled, fate));
                }
            }
        }
    }

    /// Tells everybody that nothing came of it.
    pub(super) fn refuse(self, refusal: &Refusal) {
        for pending in self.pending {
            match pending {
                Pending::One(reply, _) => drop(reply.send(Err(refusal.clone()))),
                Pending::Batch(reply, _) => drop(reply.send(Err(refusal.clone()))),
            }
        }
    }
}

fn of_one(job: Arc<Job>, accepted: Accepted, watch: Option<Watch>) -> Answer {
    match accepted {
        Accepted::New | Accepted::Already => Answer::New { job, watch },
        Accepted::Replayed(id) => Answer::Replayed(id),
        Accepted::KeyReused => Answer::KeyReused,
        Accepted::NoOriginal => Answer::NoOriginal,
        Accepted::Unfit => Answer::Unfit,
    }
}

/// The answer for jobs that all came to the same.
fn of_batch(jobs: Vec<Arc<Job>>, accepted: Accepted) -> Result<BatchAnswer, Refusal> {
    Ok(match accepted {
        Accepted::New | Accepted::Already => BatchAnswer::New(jobs),
        // Equal words are equally many jobs.
        Accepted::Replayed(first) => BatchAnswer::Replayed(first.batch(jobs.len()).collect()),
        Accepted::KeyReused => BatchAnswer::KeyReused,
        Accepted::Unfit => BatchAnswer::Unfit,
        // No batch is made from an earlier job.
        Accepted::NoOriginal => return Err(Refusal::Internal),
    })
}

/// What a commit leads to.
pub(super) struct Committed {
    pub(super) at: UnixMs,
    pub(super) outs: Vec<Out>,
    pub(super) dispatched: Vec<Arc<Job>>,
    /// The queues in which a job waits for its turn.
    pub(super) waiting: Vec<QueueName>,
}

impl Committed {
    pub(super) fn new(at: UnixMs) -> Self {
        Self {
            at,
            outs: Vec::new(),
            dispatched: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Notes the queue of a job that is due and was not dispatched.
    pub(super) fn note_waiting(&mut self, job: &Job) {
        if job.standing.state == State::Queued && !self.waiting.contains(&job.queue) {
            self.waiting.push(job.queue.clone());
        }
    }
}
