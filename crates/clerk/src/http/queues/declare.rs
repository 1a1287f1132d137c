//! `PUT /v1/queues/{queue}`: declare a queue.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::QueueName;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::QueueRef;
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::queues::view;
use crate::http::{body, object};

/// Declares a queue; one that is known stays as it is.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    _: Caller,
    name: QueueRef,
    _: NoQuery,
    request: Request,
) -> Result<Response, Problem> {
    nothing_in(request).await?;
    let queue: QueueName =
        name.as_str()
            .parse()
            .map_err(|error: clerkwork_core::name::InvalidName| {
                Complaints::one(Kind::InvalidRequest, "queue", error.to_string())
            })?;
    let new = desk.queues.declare(&queue).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    view::answer(&desk, &queue, status).await
}

/// A declaration has no body, or an object without members.
async fn nothing_in(request: Request) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    body::media_type(&parts.headers)?;
    let promised = body::promised(&parts.headers);
    let body = body::read(body, promised, 0).await?;
    if body.is_empty() {
        return Ok(());
    }
    let mut complaints = Complaints::default();
    let [] = object::members(&body, [], &mut complaints)?;
    complaints.result(Kind::InvalidRequest)
}
