//! One call of a clerk, written down before and after.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Op, Submission, View, What};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::view::view;
use crate::Failure;
use crate::recorder::{Answer, Recorder};

/// How much longer than it asked to be held a client waits.
const SLACK: Duration = Duration::from_secs(20);

/// A clerk's name and where it answers.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) base: String,
}

/// Calls clerks.
#[derive(Debug)]
pub(crate) struct Caller {
    http: reqwest::Client,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) nodes: Vec<Node>,
}

/// A submission as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) terms: Submission,
    pub(crate) body: Value,
    pub(crate) key: Option<String>,
    pub(crate) wait: u64,
}

impl Caller {
    pub(crate) fn new(recorder: Arc<Recorder>, nodes: Vec<Node>) -> Result<Self, Failure> {
        // An error says that there is one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            http,
            recorder,
            nodes,
        })
    }

    /// Submits a job, or goes away after `patience`.
    pub(crate) async fn submit(
        &self,
        client: &str,
        node: &Node,
        letter: &Letter,
        patience: Option<Duration>,
    ) -> Option<View> {
        let mut request = self.http.post(format!("{}/v1/jobs", node.base));
        if let Some(key) = &letter.key {
            request = request.header("Idempotency-Key", key);
        }
        if letter.wait > 0 {
            request = request.header("Prefer", format!("wait={}", letter.wait));
        }
        let patience = patience.unwrap_or(SLACK + Duration::from_secs(letter.wait));
        let op = Op::Submit(letter.terms.clone());
        let shown = self
            .call(client, node, op, request.json(&letter.body), patience)
            .await;
        if shown.is_some() {
            self.recorder.note_accepted();
        }
        shown
    }

    /// Looks at a job, for `wait` seconds or until its end.
    pub(crate) async fn read(&self, client: &str, node: &Node, op: Op, wait: u64) -> Option<View> {
        let (Op::Read { job } | Op::Final { job } | Op::Cancel { job }) = &op else {
            return None;
        };
        let mut request = match op {
            Op::Cancel { .. } => self
                .http
                .post(format!("{}/v1/jobs/{job}/cancel", node.base)),
            _ => self.http.get(format!("{}/v1/jobs/{job}", node.base)),
        };
        if wait > 0 {
            request = request.header("Prefer", format!("wait={wait}"));
        }
        let patience = SLACK + Duration::from_secs(wait);
        self.call(client, node, op, request, patience).await
    }

    /// Follows a job's events to its end.
    pub(crate) async fn follow(&self, client: &str, node: &Node, job: &str) -> Option<View> {
        let op = Op::Read {
            job: job.to_owned(),
        };
        let call = self.recorder.call(client, node.name.as_str(), op);
        let request = self.http.get(format!("{}/v1/jobs/{job}/events", node.base));
        let followed = timeout(SLACK, self.stream(call, request)).await;
        let answer = followed.unwrap_or_else(|_| Answer::Unknown("left".to_owned()));
        self.recorder.answer(call, answer)
    }

    /// A page of a list as JSON; `None` where there was no good answer.
    pub(crate) async fn page(&self, node: &Node, query: &str) -> Option<Value> {
        let request = self.http.get(format!("{}/v1/jobs?{query}", node.base));
        let answer = timeout(SLACK, request.send()).await.ok()?.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }

    async fn call(
        &self,
        client: &str,
        node: &Node,
        op: Op,
        request: RequestBuilder,
        patience: Duration,
    ) -> Option<View> {
        let submits = matches!(op, Op::Submit(_));
        let call = self.recorder.call(client, &node.name, op);
        let answer = match timeout(patience, answer(request, submits)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Unknown("the client went away".to_owned()),
        };
        self.recorder.answer(call, answer)
    }

    async fn stream(&self, call: u64, request: RequestBuilder) -> Answer {
        let mut answer = match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => answer,
            Ok(answer) => return refusal(answer, false).await,
            Err(error) => return unanswered(&error),
        };
        let (mut text, mut last) = (String::new(), None);
        loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(None) => break,
                Err(error) => return unanswered(&error),
            }
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let Some(view) = state(&event) else { continue };
                if view.status.is_final() {
                    return Answer::Job(view);
                }
                let shown = view.clone();
                self.recorder.push(What::Seen { call, view: shown });
                last = Some(view);
            }
        }
        Answer::Unknown(format!("the stream ended after {last:?}"))
    }
}

/// The job that a `state` event shows.
fn state(event: &str) -> Option<View> {
    let field = |name: &str| {
        let found = event.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::trim)
    };
    if field("event:") != Some("state") {
        return None;
    }
    let rev = field("id:").and_then(|id| id.split('.').next()?.parse().ok());
    view(&serde_json::from_str(field("data:")?).ok()?, rev)
}

async fn answer(request: RequestBuilder, submits: bool) -> Answer {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return unanswered(&error),
    };
    if !answer.status().is_success() {
        return refusal(answer, submits).await;
    }
    let rev = answer.headers().get("etag");
    let rev = rev.and_then(|rev| {
        let rev = rev.to_str().ok()?;
        rev.trim_start_matches("W/").trim_matches('"').parse().ok()
    });
    match answer.json::<Value>().await {
        Ok(job) => {
            view(&job, rev).map_or_else(|| Answer::Unknown(format!("no job: {job}")), Answer::Job)
        }
        Err(error) => unanswered(&error),
    }
}

/// What a status other than success means: only where it is certain that nothing was done, a refusal.
async fn refusal(answer: Response, submits: bool) -> Answer {
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let words = format!("{} {kind}", status.as_u16());
    match (status.as_u16(), kind) {
        (404, "not-found") if !submits => Answer::NoJob,
        (400..=499, _) | (503, "unavailable" | "queue-full") => Answer::Refused(words),
        _ => Answer::Unknown(words),
    }
}

fn unanswered(error: &reqwest::Error) -> Answer {
    if error.is_connect() {
        return Answer::Refused("nobody listens".to_owned());
    }
    Answer::Unknown(format!("{error:?}"))
}
