//! The queues, for operators.

use clerkwork_core::QueueName;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::request::{Body, Request};

/// A queue as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub queue: QueueName,
    /// Whether nothing more of it is started.
    pub paused: bool,
    /// Jobs that are due and not started.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that are not due yet.
    pub scheduled: u64,
    /// The age of the oldest queued job, in seconds.
    pub oldest_queued_s: Option<u64>,
    /// Workers that serve it.
    pub workers: u64,
}

impl Client {
    /// All queues.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        #[derive(Deserialize)]
        struct Queues {
            queues: Vec<Queue>,
        }
        let answer: Queues = self.send(&Request::get("v1/queues")).await?.json()?;
        Ok(answer.queues)
    }

    /// One queue.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn queue(&self, queue: &QueueName) -> Result<Queue, Error> {
        self.send(&Request::get(target(queue))).await?.json()
    }

    /// Declares a queue; whether it is new.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn declare(&self, queue: &QueueName) -> Result<bool, Error> {
        let answer = self.send(&Request::new(Method::PUT, target(queue))).await?;
        Ok(answer.status == StatusCode::CREATED)
    }

    /// Pauses a queue, or resumes it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        let body = serde_json::json!({ "paused": paused }).to_string();
        let request = Request::new(Method::PATCH, target(queue)).body(Body::Json(body.into()));
        self.send(&request).await?;
        Ok(())
    }

    /// Deletes a queue, which must have no unfinished jobs.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_queue(&self, queue: &QueueName) -> Result<(), Error> {
        self.send(&Request::new(Method::DELETE, target(queue)))
            .await?;
        Ok(())
    }

    /// Cancels everything scheduled and queued of a queue; how many jobs that were.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn purge(&self, queue: &QueueName) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Purged {
            cancelled: u64,
        }
        let request = Request::post(format!("{}/purge", target(queue)));
        let answer: Purged = self.send(&request).await?.json()?;
        Ok(answer.cancelled)
    }
}

fn target(queue: &QueueName) -> String {
    format!("v1/queues/{queue}")
}
