//! `DELETE /v1/queues/{queue}`: delete a queue without unfinished jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_store::QueueDeletion;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::QueueRef;
use crate::http::problem::{Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::respond;

/// Deletes a queue.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    _: Caller,
    queue: QueueRef,
    _: NoQuery,
) -> Result<Response, Problem> {
    let queue = queue.known()?;
    match desk.queues.delete(&queue).await? {
        QueueDeletion::Deleted => Ok(respond::empty(StatusCode::NO_CONTENT)),
        QueueDeletion::Unfinished => Err(Problem::because(
            Kind::QueueNotEmpty,
            format!(
                "queue {queue} has jobs that are not done: \
                 cancel them with POST /v1/queues/{queue}/purge, or wait for their end"
            ),
        )),
        QueueDeletion::Unknown => Err(Problem::unknown_queue(queue.as_str())),
    }
}
