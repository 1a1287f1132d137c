//! `GET /v1/workers`: who works.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::{Clock as _, JobId, State as JobState, UnixMs};
use clerkwork_store::WorkerRow;
use clerkwork_wire::v1::WorkerInfo;
use serde::Serialize;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::respond;

/// Lists the workers that have lately been heard from, as far as they serve queues of the caller's.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let since = desk.clock.now().before(desk.config.lease * 3);
    let rows = desk.store.workers(None, since).await?;
    let running = running(&desk, &rows).await?;
    let workers = rows
        .into_iter()
        .filter_map(|row| WorkerObject::of(row, &caller, &running))
        .collect();
    respond::json(StatusCode::OK, &Workers { workers })
}

/// The attempts that run. What a worker has in hand need not have been started.
async fn running(desk: &Desk, rows: &[WorkerRow]) -> Result<HashMap<JobId, u32>, Problem> {
    let in_hand = rows.iter().flat_map(|row| &row.in_hand);
    let ids: Vec<JobId> = in_hand.map(|(job, _)| *job).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let kept = desk.store.get(None, &ids, 0).await?;
    let standings = kept.iter().map(|kept| (kept.job.id, &kept.job.standing));
    Ok(standings
        .filter(|(_, standing)| standing.state == JobState::Running)
        .map(|(id, standing)| (id, standing.attempt))
        .collect())
}

#[derive(Serialize)]
struct Workers {
    workers: Vec<WorkerObject>,
}

/// A worker, as it last said.
#[derive(Serialize)]
struct WorkerObject {
    /// Its incarnation: another one at each start.
    id: String,
    /// The machine's name.
    host: String,
    /// The process.
    pid: u32,
    /// What kind of worker it is: `rust`, `command`, …
    sdk: String,
    /// The version of that.
    version: String,
    /// The names of the queues that it serves.
    queues: Vec<String>,
    /// How many attempts it runs.
    running: usize,
    /// When it was last heard from.
    last_seen_at: UnixMs,
    /// Whether it takes no more jobs.
    draining: bool,
}

impl WorkerObject {
    /// What the caller sees of it; `None` where it says of itself what cannot be read, or serves only
    /// queues that are not for them.
    fn of(row: WorkerRow, caller: &Caller, running: &HashMap<JobId, u32>) -> Option<Self> {
        let about: WorkerInfo = serde_json::from_str(&row.about).ok()?;
        let mut queues: Vec<String> = about.queues.into_keys().collect();
        if !caller.queues().is_empty() {
            queues.retain(|name| caller.queues().iter().any(|queue| queue.as_str() == name));
            if queues.is_empty() {
                return None;
            }
        }
        let runs = |(job, attempt): &&(JobId, u32)| running.get(job) == Some(attempt);
        Some(Self {
            id: row.id,
            host: about.host,
            pid: about.pid,
            sdk: about.sdk,
            version: about.version,
            queues,
            running: row.in_hand.iter().filter(runs).count(),
            last_seen_at: row.seen_at,
            draining: about.draining,
        })
    }
}
