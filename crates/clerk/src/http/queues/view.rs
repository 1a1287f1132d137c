//! A queue as clients see it.

use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::{Clock as _, QueueName, UnixMs};
use clerkwork_store::QueueStats;
use serde::Serialize;

use crate::Desk;
use crate::http::problem::Problem;
use crate::http::respond;

/// A queue, and what waits and runs in it.
#[derive(Serialize)]
pub(crate) struct QueueObject {
    queue: QueueName,
    paused: bool,
    queued: u64,
    running: u64,
    scheduled: u64,
    oldest_queued_s: Option<u64>,
    workers: usize,
}

impl QueueObject {
    /// What clients see of these numbers.
    pub(crate) fn of(desk: &Desk, stats: QueueStats, now: UnixMs) -> Self {
        Self {
            workers: desk.queues.workers(&stats.queue.name),
            queue: stats.queue.name,
            paused: stats.queue.paused,
            queued: stats.queued,
            running: stats.running,
            scheduled: stats.scheduled,
            oldest_queued_s: stats.oldest_due_at.map(|due| now.since(due).as_secs()),
        }
    }
}

/// Answers with one queue.
pub(crate) async fn answer(
    desk: &Desk,
    queue: &QueueName,
    status: StatusCode,
) -> Result<Response, Problem> {
    let now = desk.clock.now();
    let stats = desk.store.queue_stats(Some(queue), now).await?;
    let stats = stats.into_iter().next();
    let stats = stats.ok_or_else(|| Problem::unknown_queue(queue.as_str()))?;
    desk.queues.look_for_workers(std::iter::once(queue)).await;
    respond::json(status, &QueueObject::of(desk, stats, now))
}
