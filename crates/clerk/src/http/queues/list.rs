//! `GET /v1/queues`: all queues.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::Clock as _;
use clerkwork_store::QueueStats;
use serde::Serialize;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::queues::view::QueueObject;
use crate::http::respond;

/// Lists the queues.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let now = desk.clock.now();
    let stats = desk.store.queue_stats(None, now).await?;
    let stats: Vec<QueueStats> = stats
        .into_iter()
        .filter(|stats| caller.may_use(&stats.queue.name))
        .collect();
    let names = stats.iter().map(|stats| &stats.queue.name);
    desk.queues.look_for_workers(names).await;
    let queues = stats
        .into_iter()
        .map(|stats| QueueObject::of(&desk, stats, now))
        .collect();
    respond::json(StatusCode::OK, &Queues { queues })
}

#[derive(Serialize)]
struct Queues {
    queues: Vec<QueueObject>,
}
