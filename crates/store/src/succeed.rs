//! Which success of a batch counts, as both databases judge it.

use std::collections::{HashMap, HashSet};

use clerkwork_core::JobId;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::rows::{count, job_id, queue};
use crate::{Error, Recorded, Succeeded, Success};

/// The row of a job after its success.
#[derive(Debug, FromRow)]
pub(crate) struct RecordedRow {
    id: Uuid,
    queue: String,
    rev: i32,
}

impl RecordedRow {
    pub(crate) fn recorded(self) -> Result<(JobId, Recorded), Error> {
        let recorded = Recorded {
            queue: queue("jobs", &self.queue)?,
            rev: count(self.rev),
        };
        Ok((job_id("jobs", self.id)?, recorded))
    }
}

/// A batch of successes. Of each job the first one that can count does: one per job is open at a
/// time, and the next one is when that did not count.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    successes: &'a [Success],
    answers: Vec<Option<Succeeded>>,
    open: Vec<&'a Success>,
    at: Vec<usize>,
    /// Those that did not count: late, unless there is no such job.
    uncounted: Vec<usize>,
}

impl<'a> Round<'a> {
    /// A batch, of which the unfit are answered at once.
    pub(crate) fn new(successes: &'a [Success], is_unfit: fn(&Success) -> bool) -> Self {
        let answers = successes
            .iter()
            .map(|success| is_unfit(success).then_some(Succeeded::Unfit))
            .collect();
        let mut round = Self {
            successes,
            answers,
            open: vec![],
            at: vec![],
            uncounted: vec![],
        };
        round.next();
        round
    }

    /// The successes to store now, in the order of their jobs, one per job.
    pub(crate) fn open(&self) -> &[&'a Success] {
        &self.open
    }

    /// Tells whether one statement will do, whatever comes of it.
    pub(crate) fn is_single(&self) -> bool {
        let answered = self
            .answers
            .iter()
            .filter(|answer| answer.is_some())
            .count();
        answered + self.open.len() == self.successes.len()
    }

    /// Settles the open ones, of which these jobs' successes were recorded.
    pub(crate) fn settle(&mut self, mut recorded: HashMap<JobId, Recorded>) {
        let single = self.is_single();
        for at in std::mem::take(&mut self.at) {
            let job = self.successes[at].job;
            match recorded.remove(&job) {
                Some(recorded) => {
                    if !single {
                        self.close_others(at, job);
                    }
                    self.answers[at] = Some(Succeeded::Recorded(recorded));
                }
                None => {
                    self.answers[at] = Some(Succeeded::Late);
                    self.uncounted.push(at);
                }
            }
        }
        self.next();
    }

    /// Jobs of those that did not count: they may not exist.
    pub(crate) fn doubtful(&self) -> Vec<JobId> {
        let ids: HashSet<JobId> = self
            .uncounted
            .iter()
            .map(|at| self.successes[*at].job)
            .collect();
        ids.into_iter().collect()
    }

    /// Tells which of the doubtful jobs exist.
    pub(crate) fn late(&mut self, known: &HashSet<JobId>) {
        for at in &self.uncounted {
            if !known.contains(&self.successes[*at].job) {
                self.answers[*at] = Some(Succeeded::Missing);
            }
        }
    }

    /// The answers, in order.
    pub(crate) fn answers(self) -> Vec<Succeeded> {
        self.answers
            .into_iter()
            .map(|answer| answer.unwrap_or(Succeeded::Unanswered))
            .collect()
    }

    /// The answers after this error came between: what is stored is told, and all else is given again. The error
    /// itself where nothing is stored.
    pub(crate) fn broken_off(mut self, error: Error) -> Result<Vec<Succeeded>, Error> {
        let is_stored = |answer: &Option<Succeeded>| matches!(answer, Some(Succeeded::Recorded(_)));
        if !self.answers.iter().any(is_stored) {
            return Err(error);
        }
        tracing::warn!(%error, "the store failed after a part of a batch; the rest is recorded again");
        for at in &self.uncounted {
            self.answers[*at] = None;
        }
        Ok(self.answers())
    }

    fn close_others(&mut self, recorded: usize, job: JobId) {
        for (at, success) in self.successes.iter().enumerate() {
            if at != recorded && success.job == job && self.answers[at].is_none() {
                self.answers[at] = Some(Succeeded::Late);
            }
        }
    }

    fn next(&mut self) {
        let mut jobs = HashSet::new();
        self.at = (0..self.successes.len())
            .filter(|at| self.answers[*at].is_none() && jobs.insert(self.successes[*at].job))
            .collect();
        self.at.sort_unstable_by_key(|at| self.successes[*at].job);
        self.open = self.at.iter().map(|at| &self.successes[*at]).collect();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use clerkwork_core::UnixMs;

    use super::*;

    fn success(job: JobId) -> Success {
        Success {
            job,
            attempt: 1,
            media_type: "text/plain".to_owned(),
            output: Bytes::new(),
            worker: None,
            started_at: None,
        }
    }

    fn away() -> Error {
        Error::Unavailable("it went away".to_owned())
    }

    #[test]
    fn what_the_first_round_stored_is_told_though_the_second_fails() {
        let (stored, twice) = (JobId::at(UnixMs(1)), JobId::at(UnixMs(1)));
        let batch = [success(twice), success(stored), success(twice)];
        let mut round = Round::new(&batch, |_| false);
        let recorded = Recorded {
            queue: "q".parse().unwrap(),
            rev: 2,
        };
        round.settle(HashMap::from([(stored, recorded)]));
        assert_eq!(round.open().len(), 1, "the second of one job is open");
        let told = round.broken_off(away()).unwrap();
        let told = told.as_slice();
        assert!(
            matches!(
                told,
                [
                    Succeeded::Unanswered,
                    Succeeded::Recorded(_),
                    Succeeded::Unanswered
                ]
            ),
            "{told:?}"
        );
    }

    #[test]
    fn a_batch_of_which_nothing_is_stored_fails_as_a_whole() {
        let batch = [success(JobId::at(UnixMs(1)))];
        let round = Round::new(&batch, |_| false);
        assert!(matches!(
            round.broken_off(away()),
            Err(Error::Unavailable(_))
        ));
    }
}
