//! What is submitted, and what comes back at once.

use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::JobObject;
use reqwest::header::HeaderName;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::content::Content;
use crate::error::Error;
use crate::request::{Answer, Body, Request};

/// A job to submit. It carries one idempotency key for its life: sending it twice makes one job.
#[derive(Clone, Debug)]
pub struct Submission {
    job: JobFields,
    input: Input,
    key: String,
}

/// The answer to a submission.
#[derive(Debug)]
pub struct Submitted {
    /// The job as it was when the server answered.
    pub job: JobObject,
    /// Whether an earlier submission with this key had made it.
    pub replayed: bool,
}

#[derive(Clone, Debug)]
enum Input {
    Json(Box<RawValue>),
    Bytes(Content),
}

#[derive(Clone, Debug, Serialize)]
struct JobFields {
    queue: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_within_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay_s: Option<u64>,
}

#[derive(Serialize)]
struct WithInput<'a> {
    #[serde(flatten)]
    job: &'a JobFields,
    input: &'a RawValue,
}

impl Submission {
    /// A job whose input is `input` as JSON.
    ///
    /// # Errors
    /// [`Error::Input`] if it cannot be written as JSON.
    pub fn json(queue: &str, input: &impl Serialize) -> Result<Self, Error> {
        let raw = serde_json::value::to_raw_value(input)
            .map_err(|error| Error::Input(format!("the input cannot be JSON: {error}")))?;
        Ok(Self::new(queue, Input::Json(raw)))
    }

    /// A job whose input is this JSON, byte for byte.
    ///
    /// # Errors
    /// [`Error::Input`] if it is no JSON.
    pub fn raw_json(queue: &str, json: String) -> Result<Self, Error> {
        let raw = RawValue::from_string(json)
            .map_err(|error| Error::Input(format!("the input is not JSON: {error}")))?;
        Ok(Self::new(queue, Input::Json(raw)))
    }

    /// A job whose input is any bytes.
    #[must_use]
    pub fn bytes(queue: &str, media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let content = Content {
            media_type: media_type.to_owned(),
            bytes: bytes.into(),
        };
        Self::new(queue, Input::Bytes(content))
    }

    fn new(queue: &str, input: Input) -> Self {
        let job = JobFields {
            queue: queue.to_owned(),
            tags: Vec::new(),
            webhook: None,
            timeout_s: None,
            start_within_s: None,
            delay_s: None,
            max_attempts: None,
            retry_delay_s: None,
        };
        Self {
            job,
            input,
            key: new_key(),
        }
    }

    /// Uses this idempotency key instead of a random one.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// The idempotency key, with which the submission can be repeated, from another program too.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.key
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.job.tags.push(tag.to_owned());
        self
    }

    /// Calls this URL when the job is done.
    #[must_use]
    pub fn webhook(mut self, url: &str) -> Self {
        self.job.webhook = Some(url.to_owned());
        self
    }

    /// Limits how long an attempt may run.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.job.timeout_s = Some(whole_seconds(limit));
        self
    }

    /// Lets the job expire if it has not started so long after it became due.
    #[must_use]
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.job.start_within_s = Some(whole_seconds(limit));
        self
    }

    /// Makes the job due only after so long.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.job.delay_s = Some(whole_seconds(delay));
        self
    }

    /// Ends the job as failed after so many failures.
    #[must_use]
    pub fn max_attempts(mut self, most: u32) -> Self {
        self.job.max_attempts = Some(most);
        self
    }

    /// The pause before the second attempt.
    #[must_use]
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.job.retry_delay_s = Some(whole_seconds(delay));
        self
    }

    /// The whole job as JSON, if its input is.
    pub(crate) fn as_json(&self) -> Option<impl Serialize> {
        match &self.input {
            Input::Json(input) => Some(WithInput {
                job: &self.job,
                input,
            }),
            Input::Bytes(_) => None,
        }
    }

    fn request(&self, wait: Option<u64>) -> Result<Request, Error> {
        let unfit = |error: serde_json::Error| Error::Input(error.to_string());
        let body = match &self.input {
            Input::Json(input) => {
                let whole = WithInput {
                    job: &self.job,
                    input,
                };
                Body::Json(serde_json::to_vec(&whole).map_err(unfit)?.into())
            }
            Input::Bytes(input) => Body::Parts {
                job: serde_json::to_vec(&self.job).map_err(unfit)?.into(),
                input: input.clone(),
            },
        };
        Ok(Request::post("v1/jobs")
            .body(body)
            .wait(wait)
            .header(KEY, &self.key))
    }
}

impl Client {
    /// Submits a job; its acceptance is durable.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] for an unknown queue.
    pub async fn submit(&self, submission: &Submission) -> Result<Submitted, Error> {
        self.submit_waiting(submission, None).await
    }

    /// Submits a job and waits for its end, for ever or for `most`: see [`Client::wait`].
    ///
    /// # Errors
    /// As [`Client::submit`] and [`Client::wait`].
    pub async fn run(
        &self,
        submission: &Submission,
        most: Option<Duration>,
    ) -> Result<JobObject, Error> {
        let begin = tokio::time::Instant::now();
        let submitted = self
            .submit_waiting(submission, Some(crate::wait::turn(most)))
            .await?;
        if submitted.job.done {
            return Ok(submitted.job);
        }
        self.wait(submitted.job.id, crate::wait::left(most, begin))
            .await
    }

    async fn submit_waiting(
        &self,
        submission: &Submission,
        wait: Option<u64>,
    ) -> Result<Submitted, Error> {
        let answer = self.send(&submission.request(wait)?).await?;
        Ok(Submitted {
            job: answer.json()?,
            replayed: replayed(&answer),
        })
    }
}

/// The header that makes a submission safe to repeat.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A key that nobody else has.
pub(crate) fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether an answer is that of an earlier request with its key.
pub(crate) fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// The contract knows whole seconds only; a part of one counts as one.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(submission: &Submission) -> String {
        match submission.request(None).unwrap().body {
            Body::Json(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_input_is_sent_byte_for_byte() {
        let text = r#"{"a": 1.0000000000000000000000000001,  "a":"\u0000"}"#;
        let submission = Submission::raw_json("q", text.to_owned()).unwrap();
        assert_eq!(
            body(&submission),
            format!(r#"{{"queue":"q","input":{text}}}"#)
        );
    }

    #[test]
    fn only_the_fields_that_were_set_are_sent() {
        let submission = Submission::json("q", &1)
            .unwrap()
            .tag("t")
            .timeout(Duration::from_millis(1500))
            .retry_delay(Duration::ZERO);
        let expected = r#"{"queue":"q","tags":["t"],"timeout_s":2,"retry_delay_s":0,"input":1}"#;
        assert_eq!(body(&submission), expected);
    }

    #[test]
    fn text_that_is_no_json_is_refused_before_it_is_sent() {
        let error = Submission::raw_json("q", "{oops".to_owned()).unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error}");
    }

    #[test]
    fn a_submission_keeps_its_key_and_two_have_two() {
        let (one, two) = (
            Submission::json("q", &1).unwrap(),
            Submission::json("q", &1).unwrap(),
        );
        assert_eq!(one.key, one.clone().key);
        assert_ne!(one.key, two.key);
    }
}
