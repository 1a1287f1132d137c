//! What a path names.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use clerkwork_core::{JobId, QueueName};

use crate::http::problem::{Kind, Problem};

/// The job that the path names. What is no job's id is a job that is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobRef(pub(crate) JobId);

/// The queue that the path names, which need not be a name that a queue can have.
#[derive(Debug)]
pub(crate) struct QueueRef(String);

impl QueueRef {
    /// The name of a queue that may be there.
    pub(crate) fn known(&self) -> Result<QueueName, Problem> {
        let no_such = |_| Problem::because(Kind::UnknownQueue, "no queue can have this name");
        self.0.parse().map_err(no_such)
    }

    /// The name as the client has it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for JobRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = only_param(parts, state).await;
        let id = id.and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(Problem::no_such_job)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueueRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = only_param(parts, state).await;
        name.map(Self)
            .ok_or_else(|| Problem::because(Kind::UnknownQueue, "no queue can have this name"))
    }
}

/// The one parameter that each of our paths has at most; `None` also where it does not decode.
async fn only_param<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let (_, value) = params.iter().next()?;
    Some(value.to_owned())
}
