//! The cancels that this worker was told of, for its life.

use std::collections::{HashMap, VecDeque};

use clerkwork_core::JobId;
use clerkwork_wire::v1::Stopped;

/// How many are remembered; the oldest are forgotten first.
const MOST: usize = 100_000;

/// Cancelled jobs, each with its last attempt that is meant.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    last: HashMap<JobId, u32>,
    order: VecDeque<JobId>,
}

impl Cancels {
    /// Remembers these; what is no job's id is ignored.
    pub(crate) fn remember(&mut self, stopped: &[Stopped]) {
        for one in stopped {
            let Ok(job) = one.job.parse() else { continue };
            let known = self.last.insert(job, one.attempt);
            match known {
                Some(attempt) if attempt > one.attempt => drop(self.last.insert(job, attempt)),
                Some(_) => {}
                None => self.order.push_back(job),
            }
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.last.remove(&oldest);
            }
        }
    }

    /// Whether this attempt was cancelled: it, or a later one of its job.
    pub(crate) fn contains(&self, job: JobId, attempt: u32) -> bool {
        self.last.get(&job).is_some_and(|last| attempt <= *last)
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;

    fn stopped(job: JobId, attempt: u32) -> Stopped {
        Stopped {
            job: job.to_string(),
            attempt,
        }
    }

    #[test]
    fn a_cancel_means_its_attempt_and_all_before_it() {
        let job = JobId::at(UnixMs(1));
        let mut cancels = Cancels::default();
        cancels.remember(&[stopped(job, 2), stopped(job, 1)]);
        assert!(cancels.contains(job, 1) && cancels.contains(job, 2));
        assert!(!cancels.contains(job, 3));
        assert!(!cancels.contains(JobId::at(UnixMs(1)), 1));
    }

    #[test]
    fn the_oldest_cancels_are_forgotten_first() {
        let jobs: Vec<JobId> = (0..=MOST).map(|_| JobId::at(UnixMs(1))).collect();
        let mut cancels = Cancels::default();
        for job in &jobs {
            cancels.remember(&[stopped(*job, 1)]);
        }
        assert!(!cancels.contains(jobs[0], 1));
        assert!(cancels.contains(jobs[1], 1) && cancels.contains(jobs[MOST], 1));
        assert_eq!(cancels.last.len(), MOST);
    }
}
