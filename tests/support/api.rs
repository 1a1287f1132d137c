//! The HTTP contract as a client uses it.

use std::sync::Once;
use std::time::Duration;

use clerkwork_core::JobObject;
use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A client of one clerk.
#[derive(Clone, Debug)]
pub struct Api {
    client: reqwest::Client,
    base: String,
}

/// A refusal, as problem+json.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// In words.
    pub detail: Option<String>,
    /// Field by field.
    #[serde(default)]
    pub errors: Vec<Value>,
}

impl Api {
    /// A client of the clerk at `base`.
    ///
    /// # Panics
    /// When the client cannot be made.
    #[must_use]
    pub fn new(base: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that there is one already, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(75))
            .no_proxy()
            .build()
            .expect("a client without special wishes");
        Self {
            client,
            base: base.to_owned(),
        }
    }

    /// The clerk's address, as `http://HOST:PORT`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same as `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A request to `/v1` + `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/v1{path}", self.base))
    }

    /// Submits a job and returns what was accepted.
    ///
    /// # Panics
    /// When it was refused.
    pub async fn submit(&self, job: &Value) -> JobObject {
        accepted(self.request(Method::POST, "/jobs").json(job)).await
    }

    /// Submits a job to a queue, with nothing but an input.
    pub async fn send(&self, queue: &str, input: Value) -> JobObject {
        self.submit(&json!({"queue": queue, "input": input})).await
    }

    /// Submits a job and waits for its end.
    pub async fn run(&self, queue: &str, input: Value) -> JobObject {
        let job = self.send(queue, input).await;
        self.ended(&job).await
    }

    /// Submits a job and returns whatever the answer is.
    ///
    /// # Errors
    /// No answer came.
    pub async fn try_submit(&self, job: &Value) -> reqwest::Result<Response> {
        self.request(Method::POST, "/jobs").json(job).send().await
    }

    /// The job as it is now.
    ///
    /// # Panics
    /// When there is none.
    pub async fn job(&self, id: impl ToString) -> JobObject {
        let path = format!("/jobs/{}", id.to_string());
        accepted(self.request(Method::GET, &path)).await
    }

    /// Waits until the job is done.
    ///
    /// # Panics
    /// When it is not done within two minutes.
    pub async fn ended(&self, job: &JobObject) -> JobObject {
        self.ended_within(job, Duration::from_secs(120)).await
    }

    /// Waits until the job is done, through dropped connections and refusals.
    ///
    /// # Panics
    /// When it is not done within `limit`.
    pub async fn ended_within(&self, job: &JobObject, limit: Duration) -> JobObject {
        let end = Instant::now() + limit;
        let path = format!("/jobs/{}", job.id);
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_secs() + 1;
            let held = self
                .request(Method::GET, &path)
                .header("Prefer", format!("wait={}", left.min(45)));
            let seen = match held.send().await {
                Ok(answer) if answer.status().is_success() => answer.json::<JobObject>().await.ok(),
                _ => None,
            };
            match seen {
                Some(job) if job.done => return job,
                _ if Instant::now() >= end => {
                    panic!("job {} is not done within {limit:?}: {seen:?}", job.id)
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Asks to stop a job; the job as it is afterwards.
    pub async fn cancel(&self, id: impl ToString) -> JobObject {
        self.post(&format!("/jobs/{}/cancel", id.to_string())).await
    }

    /// POSTs nothing to a path whose answer is a job.
    ///
    /// # Panics
    /// When it was refused.
    pub async fn post(&self, path: &str) -> JobObject {
        accepted(self.request(Method::POST, path)).await
    }

    /// GETs, POSTs, PUTs or PATCHes a path whose answer is any JSON.
    ///
    /// # Panics
    /// When it was refused.
    pub async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = patiently(request).await;
        serde_json::from_slice(&whole(path, answer).await).expect("answers are JSON")
    }

    /// What a path outside of `/v1` answers, JSON with its status; `None` where nobody does.
    pub async fn look(&self, path: &str) -> Option<(u16, Value)> {
        let request = self.client.get(format!("{}{path}", self.base));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    /// The raw output of a job, with its media type.
    ///
    /// # Panics
    /// When it has none.
    pub async fn output(&self, id: impl ToString) -> (String, Vec<u8>) {
        self.bytes(&format!("/jobs/{}/output", id.to_string()))
            .await
    }

    /// The raw bytes at a path, with their media type.
    ///
    /// # Panics
    /// When they cannot be had.
    pub async fn bytes(&self, path: &str) -> (String, Vec<u8>) {
        let answer = patiently(self.request(Method::GET, path)).await;
        let media_type = answer.headers().get("content-type");
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        (media_type, whole(path, answer).await)
    }

    /// What a refused request says.
    ///
    /// # Panics
    /// When it was not refused, or not as a problem.
    pub async fn refusal(&self, request: RequestBuilder) -> Problem {
        let answer = request.send().await.expect("the clerk answers");
        let status = answer.status();
        let text = answer.text().await.expect("the answer has an end");
        assert!(status.as_u16() >= 400, "{status}: {text}");
        serde_json::from_str(&text).expect("a refusal is a problem")
    }
}

/// Sends it, and again where the clerk can do nothing at the moment and says so: one on a machine that is busy with other tests may.
async fn patiently(request: RequestBuilder) -> Response {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let again = request.try_clone().expect("its body is no stream");
        let answer = again.send().await.expect("the clerk answers");
        if answer.status() != 503 || Instant::now() >= end {
            return answer;
        }
        let refused = answer.text().await.expect("the answer has an end");
        let problem = serde_json::from_str::<Problem>(&refused);
        let kind = problem.map(|problem| problem.kind).unwrap_or_default();
        assert_eq!(kind, "urn:clerkwork:problem:unavailable", "{refused}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The body of what must not be refused.
async fn whole(what: &str, answer: Response) -> Vec<u8> {
    let status = answer.status();
    let body = answer.bytes().await.expect("the answer has an end");
    assert!(
        status.is_success(),
        "{what}: {status}: {}",
        String::from_utf8_lossy(&body)
    );
    body.to_vec()
}

async fn accepted(request: RequestBuilder) -> JobObject {
    let job = whole("a job", patiently(request).await).await;
    serde_json::from_slice(&job).expect("the answer is a job")
}
