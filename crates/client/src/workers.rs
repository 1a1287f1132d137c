//! The workers, for operators.

use clerkwork_core::UnixMs;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::request::Request;

/// A worker as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// Its incarnation.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The kind of worker.
    pub sdk: String,
    /// The version of that.
    pub version: String,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// The jobs that it runs.
    pub running: u64,
    /// Its last report.
    pub last_seen_at: Option<UnixMs>,
    /// Whether it takes no more jobs.
    pub draining: bool,
}

impl Client {
    /// The workers that have reported lately.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn workers(&self) -> Result<Vec<Worker>, Error> {
        #[derive(Deserialize)]
        struct Workers {
            workers: Vec<Worker>,
        }
        let answer: Workers = self.send(&Request::get("v1/workers")).await?.json()?;
        Ok(answer.workers)
    }
}
