//! Many jobs in one request: all of them are accepted, or none.

use clerkwork_core::JobObject;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::request::{Body, Request};
use crate::submission::{KEY, Submission, new_key, replayed};

/// Jobs to submit together. It carries one idempotency key for its life, which counts for all of
/// them: sending it twice makes them once.
#[derive(Clone, Debug)]
pub struct Batch {
    jobs: Vec<Submission>,
    key: String,
}

/// The answer to a batch.
#[derive(Debug)]
pub struct SubmittedBatch {
    /// The jobs, in the order of the batch.
    pub jobs: Vec<JobObject>,
    /// Whether an earlier batch with this key had made them.
    pub replayed: bool,
}

impl Batch {
    /// A batch of these jobs, 1 to 1,000 of them; all must have JSON inputs, and the keys of their
    /// own are not used.
    #[must_use]
    pub fn new(jobs: impl IntoIterator<Item = Submission>) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            key: new_key(),
        }
    }

    /// Uses this idempotency key instead of a random one.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    fn request(&self) -> Result<Request, Error> {
        #[derive(Serialize)]
        struct Whole<T> {
            jobs: Vec<T>,
        }
        let jobs: Option<Vec<_>> = self.jobs.iter().map(Submission::as_json).collect();
        let jobs = jobs.ok_or_else(|| {
            Error::Input("a batch takes JSON inputs only; submit bytes one by one".to_owned())
        })?;
        let body =
            serde_json::to_vec(&Whole { jobs }).map_err(|error| Error::Input(error.to_string()))?;
        Ok(Request::post("v1/jobs/batch")
            .body(Body::Json(body.into()))
            .header(KEY, &self.key))
    }
}

impl Client {
    /// Submits many jobs at once; if one does not fit, none is accepted.
    ///
    /// # Errors
    /// [`Error`]; a problem's pointers begin with the place of the job, `/jobs/17/timeout_s` say.
    pub async fn submit_batch(&self, batch: &Batch) -> Result<SubmittedBatch, Error> {
        #[derive(Deserialize)]
        struct Jobs {
            jobs: Vec<JobObject>,
        }
        let answer = self.send(&batch.request()?).await?;
        let Jobs { jobs } = answer.json()?;
        Ok(SubmittedBatch {
            jobs,
            replayed: replayed(&answer),
        })
    }
}
