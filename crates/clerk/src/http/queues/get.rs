//! `GET /v1/queues/{queue}`: one queue.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::path::QueueRef;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::queues::view;

/// Shows a queue.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    _: Caller,
    queue: QueueRef,
    _: NoQuery,
) -> Result<Response, Problem> {
    view::answer(&desk, &queue.known()?, StatusCode::OK).await
}
