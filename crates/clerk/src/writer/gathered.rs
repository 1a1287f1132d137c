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

    /// Leaves out what those who asked have given up; the others will not any more.
    pub(super) fn claim(&mut self) {
        let mut jobs = std::mem::take(&mut self.jobs).into_iter();
        self.pending.retain(|pending| {
            let (claimed, count) = match pending {
                Pending::One(reply, _) => (reply.claim(), 1),
                Pending::Batch(reply, count) => (reply.claim(), *count),
            };
            let theirs = jobs.by_ref().take(count);
            if claimed {
                self.jobs.extend(theirs);
            } else {
                theirs.for_each(drop);
            }
            claimed
        });
    }

    /// Answers everybody by what became of their jobs, each of which `settle` sees to.
    pub(super) fn answer(
        self,
        accepted: &[Accepted],
        mut settle: impl FnMut(NewJob, Accepted) -> Arc<Job>,
    ) {
        let mut jobs = self.jobs.into_iter().zip(accepted);
        for pending in self.pending {
            match pending {
                Pending::One(reply, watch) => {
                    if let Some((new, accepted)) = jobs.next() {
                        let job = settle(new, *accepted);
                        reply.send(Ok(of_one(job, *accepted, watch)));
                    }
                }
                Pending::Batch(reply, count) => {
                    let mut fate = Accepted::New;
                    let settled = jobs.by_ref().take(count).map(|(new, accepted)| {
                        fate = *accepted;
                        settle(new, *accepted)
                    });
                    let settled = settled.collect();
                    reply.send(of_batch(settled, fate));
                }
            }
        }
    }

    /// Tells everybody that nothing came of it.
    pub(super) fn refuse(self, refusal: &Refusal) {
        for pending in self.pending {
            match pending {
                Pending::One(reply, _) => reply.send(Err(refusal.clone())),
                Pending::Batch(reply, _) => reply.send(Err(refusal.clone())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::submission;
    use crate::intake::Turn;

    /// One job of this queue, and whoever asked for it.
    fn one(queue: &str) -> (Asked, Turn) {
        let (reply, _answer, turn) = Reply::new();
        (Asked::One(Box::new(submission(queue)), reply), turn)
    }

    fn two(queue: &str) -> (Asked, Turn) {
        let (reply, _answer, turn) = Reply::new();
        let both = vec![submission(queue), submission(queue)];
        (Asked::Batch(both, reply), turn)
    }

    #[test]
    fn what_was_given_up_is_left_out_and_the_others_keep_their_order() {
        let (asks, mut waiting) = mpsc::channel(8);
        let (first, _) = one("a");
        for (asked, turn) in [one("gone"), two("b"), two("gone"), one("c")] {
            let gone = match &asked {
                Asked::One(submission, _) => submission.queue.as_str() == "gone",
                Asked::Batch(both, _) => both[0].queue.as_str() == "gone",
            };
            assert!(!gone || turn.claim());
            asks.try_send(asked).unwrap();
        }
        let mut gathered = Gathered::new(first, &mut waiting, &Waiters::default(), UnixMs(1));
        assert_eq!(gathered.jobs.len(), 7);
        gathered.claim();
        let queues = gathered.jobs.iter().map(|new| new.job.queue.as_str());
        assert_eq!(queues.collect::<Vec<_>>(), ["a", "b", "b", "c"]);
        assert_eq!(gathered.pending.len(), 3);
    }
}
