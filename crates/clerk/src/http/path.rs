//! What a path names.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use clerkwork_core::{JobId, QueueName};

use crate::Desk;
use crate::http::auth::Identity;
use crate::http::problem::{Kind, Problem};

/// The job that the path names. What is no job's id is a job that is not there, and so is one of a queue
/// that the caller's key is not for.
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

impl FromRequestParts<Arc<Desk>> for JobRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let id = only_param(parts, desk).await;
        let id = id.and_then(|id| id.parse().ok());
        let id = id.ok_or_else(Problem::no_such_job)?;
        if let Some(Identity::Caller(caller)) = parts.extensions.get::<Identity>()
            && !caller.queues().is_empty()
        {
            let kept = desk.store.get(Some(&caller.tenant), &[id], 0).await?;
            let mine = kept.iter().any(|kept| caller.may_use(&kept.job.queue));
            mine.then_some(()).ok_or_else(Problem::no_such_job)?;
        }
        Ok(Self(id))
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
pub(crate) async fn only_param<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let (_, value) = params.iter().next()?;
    Some(value.to_owned())
}
