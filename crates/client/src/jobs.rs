//! What can be done with a job that is there, and finding jobs again.

use std::time::Duration;

use clerkwork_core::{Failure, JobId, JobObject, QueueName, Status, Tag, UnixMs};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::form_urlencoded;

use crate::client::Client;
use crate::content::Content;
use crate::error::Error;
use crate::request::{Answer, Request};
use crate::wait::{left, turn};

/// One attempt of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// The worker that had it.
    pub worker: Option<String>,
    /// When it started.
    pub started_at: Option<UnixMs>,
    /// When it ended.
    pub finished_at: Option<UnixMs>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<QueueName>,
    /// In this state.
    pub status: Option<Status>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Accepted after.
    pub created_after: Option<UnixMs>,
    /// Accepted before.
    pub created_before: Option<UnixMs>,
    /// At most so many, 1 to 200; the server's 50 if unset.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of jobs, newest first. It may be short, or empty, and not the last: one request looks at a bounded
/// part of the history.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// The jobs, without their outputs.
    pub jobs: Vec<JobObject>,
    /// Where the next page begins; `None` only at the end.
    pub next_cursor: Option<String>,
    /// When the last job was accepted that was looked at; `None` at the end.
    #[serde(default)]
    pub searched_to: Option<UnixMs>,
}

impl Client {
    /// The job as it is now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, id: JobId) -> Result<JobObject, Error> {
        self.send(&Request::get(job(id))).await?.json()
    }

    /// The output's bytes.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Conflict`] while there is none.
    pub async fn output(&self, id: JobId) -> Result<Content, Error> {
        self.content(format!("{}/output", job(id))).await
    }

    /// The output's bytes as soon as the job is done, waiting for ever or for `most`.
    ///
    /// # Errors
    /// As [`Client::output`] and [`Client::wait`]; [`Error::Conflict`] if the job is not done by
    /// then, or ended without an output.
    pub async fn output_waiting(
        &self,
        id: JobId,
        most: Option<Duration>,
    ) -> Result<Content, Error> {
        let begin = Instant::now();
        let target = format!("{}/output", job(id));
        let request = Request::get(target).wait(Some(turn(most)));
        match self.send(&request).await {
            Err(Error::Conflict(problem)) if problem.is("not-done") => {
                self.wait(id, left(most, begin)).await?;
                self.output(id).await
            }
            answer => Ok(content(&answer?)),
        }
    }

    /// The input's bytes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn input(&self, id: JobId) -> Result<Content, Error> {
        self.content(format!("{}/input", job(id))).await
    }

    /// The attempts so far.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>, Error> {
        #[derive(Deserialize)]
        struct Attempts {
            attempts: Vec<Attempt>,
        }
        let target = format!("{}/attempts", job(id));
        let answer: Attempts = self.send(&Request::get(target)).await?.json()?;
        Ok(answer.attempts)
    }

    /// Asks to stop the job, and tells how it is then; a job that is done stays as it is.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn cancel(&self, id: JobId) -> Result<JobObject, Error> {
        self.send(&Request::post(format!("{}/cancel", job(id))))
            .await?
            .json()
    }

    /// Asks to stop the job and waits for its end, for ever or for `most`: see [`Client::wait`].
    ///
    /// # Errors
    /// As [`Client::cancel`] and [`Client::wait`].
    pub async fn cancel_waiting(
        &self,
        id: JobId,
        most: Option<Duration>,
    ) -> Result<JobObject, Error> {
        self.post_waiting(format!("{}/cancel", job(id)), most).await
    }

    /// Makes a new job from a failed, cancelled or expired one; a repeat gives the same new job.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Conflict`] if it is not done or succeeded.
    pub async fn retry(&self, id: JobId) -> Result<JobObject, Error> {
        self.send(&Request::post(format!("{}/retry", job(id))))
            .await?
            .json()
    }

    /// Makes a new job as [`Client::retry`] does and waits for its end, for ever or for `most`: see
    /// [`Client::wait`].
    ///
    /// # Errors
    /// As [`Client::retry`] and [`Client::wait`].
    pub async fn retry_waiting(
        &self,
        id: JobId,
        most: Option<Duration>,
    ) -> Result<JobObject, Error> {
        self.post_waiting(format!("{}/retry", job(id)), most).await
    }

    /// Sends the job's webhook again now.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Conflict`] while it is not done, or if it has no webhook.
    pub async fn redeliver(&self, id: JobId) -> Result<(), Error> {
        self.send(&Request::post(format!("{}/redeliver", job(id))))
            .await?;
        Ok(())
    }

    /// Hides a job for good.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Conflict`] while it is not done.
    pub async fn delete(&self, id: JobId) -> Result<(), Error> {
        let request = Request::new(Method::DELETE, job(id));
        match self.send_for(&request, self.patience, None).await {
            // The answer to an earlier try was lost: it was that one which deleted it.
            (Ok(_), _) | (Err(Error::NotFound(_)), 2..) => Ok(()),
            (Err(error), _) => Err(error),
        }
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        self.send(&Request::get(format!("v1/jobs{}", query(filter))))
            .await?
            .json()
    }

    /// Asks for something whose answer is a job, and waits for the end of that one.
    async fn post_waiting(
        &self,
        target: String,
        most: Option<Duration>,
    ) -> Result<JobObject, Error> {
        let begin = Instant::now();
        let request = Request::post(target).wait(Some(turn(most)));
        let job: JobObject = self.send(&request).await?.json()?;
        if job.done {
            return Ok(job);
        }
        self.wait(job.id, left(most, begin)).await
    }

    async fn content(&self, target: String) -> Result<Content, Error> {
        Ok(content(&self.send(&Request::get(target)).await?))
    }
}

fn content(answer: &Answer) -> Content {
    let media_type = answer.header("content-type");
    Content {
        media_type: media_type.unwrap_or("application/octet-stream").to_owned(),
        bytes: answer.body.clone(),
    }
}

fn job(id: JobId) -> String {
    format!("v1/jobs/{id}")
}

fn query(filter: &Filter) -> String {
    let time = |time: UnixMs| {
        serde_json::to_value(time)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
    };
    let parameters = [
        ("queue", filter.queue.as_ref().map(ToString::to_string)),
        ("status", filter.status.map(|status| status.to_string())),
        ("tag", filter.tag.as_ref().map(ToString::to_string)),
        ("created_after", filter.created_after.and_then(time)),
        ("created_before", filter.created_before.and_then(time)),
        ("limit", filter.limit.map(|limit| limit.to_string())),
        ("cursor", filter.cursor.clone()),
    ];
    let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}
