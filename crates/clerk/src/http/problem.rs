//! What a client is told when its request cannot be done: one type for every 4xx and 5xx.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use clerkwork_core::{JobId, Status};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Refusal;
pub(crate) use crate::http::complaints::Complaints;
use crate::http::health::Ready;
pub(crate) use crate::http::kind::Kind;
use crate::queues::DeclareError;

/// A request that cannot be done, and why.
///
/// As a response it is a status with the problem beside it; `respond::finish` writes the body,
/// because that names the request's id.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    more: More,
}

/// What only some kinds of problems say.
#[derive(Clone, Debug, Default, Serialize)]
struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_status: Option<Status>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated: Option<[&'static str; 1]>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    ready: Option<Ready>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// Where: a JSON pointer, or a query parameter written like one.
    pub(crate) pointer: String,
    /// What is wrong with it.
    pub(crate) detail: Cow<'static, str>,
}

impl Problem {
    /// A problem of this kind.
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            more: More::default(),
        }))
    }

    /// A problem of this kind, with a sentence about this occurrence.
    pub(crate) fn because(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(kind);
        problem.0.detail = Some(detail.into());
        problem
    }

    /// A problem of this kind that consists of these errors.
    pub(crate) fn with_errors(kind: Kind, errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(kind);
        problem.0.errors = errors;
        problem
    }

    /// There is no such job, or none that the caller may see.
    pub(crate) fn no_such_job() -> Self {
        Self::because(Kind::NotFound, "there is no job of this id")
    }

    /// Nobody declared this queue.
    pub(crate) fn unknown_queue(queue: &str) -> Self {
        Self::because(
            Kind::UnknownQueue,
            format!("queue {queue} is not known: declare it with PUT /v1/queues/{queue}"),
        )
    }

    /// Something holds more bytes than it may.
    pub(crate) fn too_large(what: &str, limit: usize) -> Self {
        let mut problem = Self::because(
            Kind::ContentTooLarge,
            format!("{what} is larger than {limit} bytes"),
        );
        problem.0.more.limit_bytes = Some(limit);
        problem
    }

    /// The problem, with the place that it is about; the whole request is none.
    pub(crate) fn at(mut self, pointer: String) -> Self {
        if let Some(detail) = self.0.detail.clone().filter(|_| !pointer.is_empty()) {
            self.0.errors.push(FieldError { pointer, detail });
        }
        self
    }

    /// The job's state forbids it.
    pub(crate) fn of_state(kind: Kind, status: Status) -> Self {
        let mut problem = Self::because(kind, format!("the job is {status}"));
        problem.0.more.job_status = Some(status);
        problem
    }

    /// More was asked for than this policy allows; when to try again.
    pub(crate) fn quota(
        policy: &'static str,
        detail: impl Into<Cow<'static, str>>,
        seconds: u64,
    ) -> Self {
        let mut problem = Self::because(Kind::QuotaExceeded, detail);
        problem.0.more.violated = Some([policy]);
        problem.retry_after(seconds)
    }

    /// The clerk cannot accept jobs, for one of these.
    pub(crate) fn not_ready(ready: Ready) -> Self {
        let mut problem = Self::because(Kind::Unavailable, "this clerk accepts no jobs now");
        problem.0.more.ready = Some(ready);
        problem.retry_after(RETRY_S)
    }

    /// The problem, with the seconds after which to try again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The problem that an answer with this status and without a body is.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        Self::new(match status {
            StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
            StatusCode::FORBIDDEN => Kind::Forbidden,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::ContentTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
            status if status.is_client_error() => Kind::MalformedRequest,
            _ => Kind::Internal,
        })
    }

    /// The problem of the request with this id, as JSON.
    pub(crate) fn told(&self, request: JobId) -> Box<RawValue> {
        let kind = self.0.kind;
        let status = kind.status();
        let instance = format!("urn:uuid:{request}");
        let told = Told {
            kind: kind.uri(),
            title: kind.title(),
            status: status.as_u16(),
            detail: self.detail(),
            instance: &instance,
            errors: &self.0.errors,
            more: &self.0.more,
        };
        // A struct of texts and numbers cannot fail to become JSON; without them it is null.
        serde_json::value::to_raw_value(&told).unwrap_or_default()
    }

    /// Writes the problem of the request with this id into its answer.
    pub(crate) fn write(&self, response: &mut Response, request: JobId) {
        let kind = self.0.kind;
        let status = kind.status();
        let body = String::from(Box::<str>::from(self.told(request)));
        *response.status_mut() = status;
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if kind.ends_the_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn detail(&self) -> Option<Cow<'_, str>> {
        if let Some(detail) = &self.0.detail {
            return Some(Cow::Borrowed(detail));
        }
        let first = self.0.errors.first()?;
        let name = first.pointer.trim_start_matches('/');
        let name = if name.is_empty() { "the request" } else { name };
        let rest = match self.0.errors.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more, see errors)"),
        };
        Some(Cow::Owned(format!("{name} {}{rest}", first.detail)))
    }
}

/// When to try again what was not done.
const RETRY_S: u64 = 2;

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    instance: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    more: &'a More,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.kind.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(why) => {
                Self::because(Kind::Unavailable, format!("{why}; nothing was done"))
                    .retry_after(RETRY_S)
            }
            Refusal::OutcomeUnknown => Self::because(
                Kind::OutcomeUnknown,
                "the store did not answer in time: the request may or may not have been done; \
                 repeat a submission with the same Idempotency-Key",
            )
            .retry_after(RETRY_S),
            Refusal::QueueFull(queue) => Self::because(
                Kind::QueueFull,
                format!("queue {queue} has its most unfinished jobs; nothing was accepted"),
            )
            .retry_after(RETRY_S),
            Refusal::TenantFull(most) => Self::quota(
                "unfinished",
                format!(
                    "the tenant has {most} jobs that are not done, which is the most; nothing was accepted"
                ),
                RETRY_S,
            ),
            Refusal::Internal => Self::new(Kind::Internal),
        }
    }
}

impl From<DeclareError> for Problem {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Store(refusal) => refusal.into(),
            DeclareError::Broker(error @ clerkwork_broker::Error::Mismatch { .. }) => {
                Self::because(Kind::QueueMismatch, error.to_string())
            }
            DeclareError::Broker(error) => Self::because(Kind::QueueRefused, error.to_string()),
        }
    }
}

impl From<clerkwork_store::Error> for Problem {
    fn from(error: clerkwork_store::Error) -> Self {
        Refusal::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;

    async fn written(problem: Problem) -> (Response, serde_json::Value) {
        let mut response = Response::new(Body::empty());
        problem.write(&mut response, JobId::at(UnixMs(1_763_900_000_000)));
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 100_000).await.unwrap();
        let value = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(parts, Body::empty()), value)
    }

    #[tokio::test]
    async fn a_problem_names_its_kind_and_its_request() {
        let (response, told) = written(Problem::no_such_job()).await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(told["type"], "urn:clerkwork:problem:not-found");
        assert_eq!(told["status"], 404);
        assert!(told["instance"].as_str().unwrap().starts_with("urn:uuid:0"));
        assert_eq!(told.get("errors"), None);
        assert_eq!(told.get("limit_bytes"), None);
    }

    #[tokio::test]
    async fn all_errors_are_told_at_once_and_the_first_in_words() {
        let mut complaints = Complaints::default();
        complaints.add("timeout_s", "must be between 1 and 604800");
        complaints.add_at("tags", 3, "is empty");
        complaints.add("a/b~c", "is not known");
        let (_, told) = written(complaints.result(Kind::InvalidRequest).unwrap_err()).await;
        assert_eq!(
            told["detail"],
            "timeout_s must be between 1 and 604800 (and 2 more, see errors)"
        );
        assert_eq!(told["errors"][1]["pointer"], "/tags/3");
        assert_eq!(told["errors"][2]["pointer"], "/a~1b~0c");
    }

    #[tokio::test]
    async fn a_flood_of_errors_is_cut_short() {
        let mut complaints = Complaints::default();
        for _ in 0..1_000_000 {
            complaints.add(&"ä".repeat(300), "is not known");
        }
        let (_, told) = written(complaints.result(Kind::InvalidRequest).unwrap_err()).await;
        assert_eq!(told["errors"].as_array().unwrap().len(), 32);
        assert!(told.to_string().len() < 20_000);
    }

    #[tokio::test]
    async fn a_refusal_says_whether_anything_was_done_and_when_to_try_again() {
        let cases = [
            (
                Refusal::Unavailable("the store is away".into()),
                503,
                "unavailable",
            ),
            (Refusal::OutcomeUnknown, 503, "outcome-unknown"),
            (Refusal::QueueFull("q".into()), 503, "queue-full"),
        ];
        for (refusal, status, name) in cases {
            let (response, told) = written(refusal.into()).await;
            assert_eq!(response.status(), status);
            assert_eq!(told["type"], clerkwork_core::problem::urn(name));
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
        let (response, told) = written(Refusal::Internal.into()).await;
        assert_eq!(response.status(), 500);
        assert_eq!(told.get("detail"), None);
    }
}
