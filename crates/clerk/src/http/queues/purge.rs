//! `POST /v1/queues/{queue}/purge`: cancel all that waits in a queue.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::QueueRef;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::respond;

/// Cancels the scheduled and the queued jobs of a queue that were accepted before the request.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    _: Caller,
    queue: QueueRef,
    _: NoQuery,
) -> Result<Response, Problem> {
    let queue = queue.known()?;
    let known = desk.store.queues().await?;
    if !known.iter().any(|known| known.name == queue) {
        return Err(Problem::unknown_queue(queue.as_str()));
    }
    let cancelled = desk.queues.purge(&queue).await?;
    respond::json(StatusCode::OK, &Purged { cancelled })
}

#[derive(Serialize)]
struct Purged {
    cancelled: u64,
}
