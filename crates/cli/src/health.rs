//! `--health-listen`: whether a worker lives and whether it takes jobs, for whoever supervises it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clerkwork_clerk::http;
use clerkwork_worker::Health;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::listen::{self, ListenError};

/// How long the last connections may take once the worker is done.
const GRACE: Duration = Duration::from_millis(500);

/// Takes the address, if one is set.
pub(crate) async fn listen(addresses: &[SocketAddr]) -> Result<Option<TcpListener>, ListenError> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let (listener, address) = listen::bind(addresses, "health-listen").await?;
    tracing::info!(%address, "the worker's health is served");
    Ok(Some(listener))
}

/// Works, and serves the worker's health until that is done: a drain shows there to its end.
pub(crate) async fn served<T>(
    listener: Option<TcpListener>,
    health: watch::Receiver<Health>,
    working: impl Future<Output = T>,
) -> T {
    let Some(listener) = listener else {
        return working.await;
    };
    let done = CancellationToken::new();
    let serving = async {
        let served = http::serve(listener, router(health), done.clone(), GRACE).await;
        if let Err(error) = served {
            tracing::error!(%error, "the worker's health is served no more");
        }
    };
    let working = async {
        let worked = working.await;
        done.cancel();
        worked
    };
    tokio::join!(working, serving).0
}

fn router(health: watch::Receiver<Health>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(health)
}

async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// Ready is who takes jobs of all its queues.
async fn ready(State(health): State<watch::Receiver<Health>>) -> (StatusCode, Json<Value>) {
    let Health {
        greeted,
        missing,
        cannot_start,
        draining,
    } = health.borrow().clone();
    let works = missing.is_empty() && cannot_start.is_empty();
    let status = if greeted && works && !draining {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let told = json!({
        "greeted": greeted,
        "missing": missing,
        "cannot_start": cannot_start,
        "draining": draining,
    });
    (status, Json(told))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_cannot_start_jobs_is_not_ready_and_says_why() {
        let why = "No space left on device".to_owned();
        let health = Health {
            greeted: true,
            cannot_start: BTreeMap::from([("render".to_owned(), why.clone())]),
            ..Health::default()
        };
        let (status, Json(told)) = ready(State(watch::channel(health).1)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told["cannot_start"]["render"], why);
    }

    #[tokio::test]
    async fn a_worker_is_ready_only_if_it_takes_jobs_of_all_its_queues() {
        let ready_if = async |greeted, missing: &[&str], draining| {
            let health = Health {
                greeted,
                missing: missing.iter().map(|&queue| queue.to_owned()).collect(),
                cannot_start: BTreeMap::new(),
                draining,
            };
            let (status, Json(told)) = ready(State(watch::channel(health).1)).await;
            assert_eq!(told["missing"], json!(missing));
            status == StatusCode::OK
        };
        assert!(ready_if(true, &[], false).await);
        assert!(!ready_if(false, &[], false).await);
        assert!(!ready_if(true, &["render"], false).await);
        assert!(!ready_if(true, &[], true).await);
    }
}
