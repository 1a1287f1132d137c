//! Jobs as this clerk dispatched them, until their reply is recorded.
//!
//! A reply mostly finds its job as it was dispatched; then nobody has to read the record to tell what
//! became of it. What is not here, or has changed since, is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use clerkwork_core::{Job, JobId};

/// The jobs; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding(Arc<Mutex<Generations>>);

/// Peers record many of the replies, so jobs are also forgotten by age: the older half at a time.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<JobId, Arc<Job>>,
    old: HashMap<JobId, Arc<Job>>,
}

/// The most jobs of one generation.
const GENERATION: usize = 10_000;

impl Outstanding {
    /// Remembers jobs that are dispatched now.
    pub(crate) fn remember(&self, jobs: impl IntoIterator<Item = Arc<Job>>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            if generations.young.len() >= GENERATION {
                generations.old = std::mem::take(&mut generations.young);
            }
            generations.young.insert(job.id, job);
        }
    }

    /// For each id the job as it was dispatched last, which is forgotten by this.
    pub(crate) fn take(&self, ids: impl IntoIterator<Item = JobId>) -> Vec<Option<Arc<Job>>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter()
            .map(|id| {
                let old = generations.old.remove(&id);
                generations.young.remove(&id).or(old)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;
    use crate::fixture;

    fn job(attempt: u32) -> Arc<Job> {
        let mut job = fixture::job("q", UnixMs(1_000)).job;
        job.standing.attempt = attempt;
        Arc::new(job)
    }

    #[test]
    fn the_last_dispatch_counts_and_is_given_once() {
        let outstanding = Outstanding::default();
        let first = job(1);
        let mut second = Job::clone(&first);
        second.standing.attempt = 2;
        outstanding.remember([first.clone()]);
        outstanding.remember((0..GENERATION).map(|_| job(1)));
        outstanding.remember([Arc::new(second)]);
        let taken = outstanding.take([first.id]).remove(0).unwrap();
        assert_eq!(taken.standing.attempt, 2);
        assert!(outstanding.take([first.id]).remove(0).is_none());
    }

    #[test]
    fn what_nobody_takes_is_forgotten_by_age() {
        let outstanding = Outstanding::default();
        let jobs: Vec<_> = (0..GENERATION * 3).map(|_| job(1)).collect();
        outstanding.remember(jobs.iter().cloned());
        let kept = outstanding.take(jobs.iter().map(|job| job.id));
        let kept: Vec<bool> = kept.iter().map(Option::is_some).collect();
        assert!(kept[GENERATION..].iter().all(|kept| *kept));
        assert!(!kept[..GENERATION].iter().any(|kept| *kept));
    }
}
