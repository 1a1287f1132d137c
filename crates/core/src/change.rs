//! What an event is judged by, and what follows from it: plain data.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMs;
use crate::id::JobId;
use crate::job::{Content, Job, Standing};
use crate::outcome::{Failure, Outcome};

/// What an event is judged by, beside the job.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: UnixMs,
    /// How long a worker that holds a job may be silent.
    pub lease: Duration,
    /// A random number from 0 to 1 for the wait before a retry.
    pub chance: f64,
}

impl Moment {
    /// How long the worker of a job that the broker still guards may be silent.
    #[must_use]
    pub fn long_lease(&self) -> Duration {
        self.lease * 3
    }
}

/// What follows from an event.
#[derive(Clone, Debug)]
pub struct Change {
    /// The job.
    pub id: JobId,
    /// The revision that this was decided on.
    pub from_rev: u32,
    /// The `wake_at` that this was decided on; it changes where the revision does not.
    pub from_wake_at: Option<UnixMs>,
    /// Where the job stands afterwards.
    pub standing: Standing,
    /// Its outcome, if this made it final.
    pub outcome: Option<Outcome>,
    /// The attempt that this ended without ending the job: a row of its history.
    pub ended: Option<AttemptEnd>,
    /// The attempt whose worker must be told to stop or not to start.
    pub stop: Option<u32>,
}

impl Change {
    /// Makes the job that this was decided on what it is afterwards.
    pub fn apply_to(&self, job: &mut Job) {
        job.standing.clone_from(&self.standing);
        match &self.outcome {
            Some(Outcome::Succeeded { media_type, output }) => {
                job.output = Some(Content {
                    media_type: media_type.clone(),
                    size: output.len() as u64,
                });
            }
            Some(Outcome::Failed(failure)) => job.failure = Some(failure.clone()),
            Some(Outcome::Cancelled | Outcome::Expired) | None => {}
        }
    }
}

/// An attempt that ended while its job goes on.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Its number.
    pub attempt: u32,
    /// The worker that ran it.
    pub worker: Option<Arc<str>>,
    /// When it started.
    pub started_at: Option<UnixMs>,
    /// When it ended.
    pub finished_at: UnixMs,
    /// Why; `None` if it was given back.
    pub failure: Option<Failure>,
}
