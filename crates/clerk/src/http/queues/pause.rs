//! `PATCH /v1/queues/{queue}`: pause or resume a queue.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::public::JSON;
use serde_json::value::RawValue;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::QueueRef;
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::queues::view;
use crate::http::{body, object};

/// Pauses or resumes a queue.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    _: Caller,
    queue: QueueRef,
    _: NoQuery,
    request: Request,
) -> Result<Response, Problem> {
    let paused = paused(request).await?;
    let queue = queue.known()?;
    if !desk.queues.pause(&queue, paused).await? {
        return Err(Problem::unknown_queue(queue.as_str()));
    }
    view::answer(&desk, &queue, StatusCode::OK).await
}

async fn paused(request: Request) -> Result<bool, Problem> {
    let (parts, body) = request.into_parts();
    let media_type = body::media_type(&parts.headers)?;
    if !matches!(
        media_type.as_deref(),
        Some(JSON | "application/merge-patch+json")
    ) {
        return Err(Problem::because(
            Kind::UnsupportedMediaType,
            "a queue is changed with application/json: say so in Content-Type",
        ));
    }
    let promised = body::promised(&parts.headers);
    let body = body::read(body, promised, 0).await?;
    let mut complaints = Complaints::default();
    let [paused] = object::members(&body, ["paused"], &mut complaints)?;
    let paused = match paused.map(RawValue::get) {
        Some("true") => true,
        Some("false") => false,
        _ => {
            complaints.add("paused", "is required: true or false");
            false
        }
    };
    complaints.result(Kind::InvalidRequest)?;
    Ok(paused)
}
