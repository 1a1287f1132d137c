//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether it can accept jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::Desk;
use crate::health::Health;
use crate::http::problem::Problem;
use crate::http::respond;

/// That the process lives.
pub(crate) async fn alive() -> Result<Response, Problem> {
    respond::json(StatusCode::OK, &Alive { status: "alive" })
}

/// Whether jobs can be accepted, and what answers.
pub(crate) async fn ready(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    told(&desk.health)
}

fn told(health: &Health) -> Result<Response, Problem> {
    let (store, broker) = (health.store(), health.broker());
    if !health.can_accept() {
        return Err(Problem::not_ready(store, broker));
    }
    respond::json(StatusCode::OK, &Ready { store, broker })
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready {
    store: &'static str,
    broker: &'static str,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use clerkwork_broker::Status;
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn body(response: Response) -> Value {
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn only_without_its_store_can_a_clerk_accept_no_jobs() {
        let (says, broker) = watch::channel(Status::Down("it is away".into()));
        let health = Health::new(broker, CancellationToken::new());
        let unready = told(&health).unwrap_err().into_response();
        assert_eq!(unready.status(), 503, "nothing was heard of the store yet");
        health.beat(Duration::from_secs(1));
        for (status, word) in [
            (Status::Down("it is away".into()), "down"),
            (Status::Blocked, "blocked"),
            (Status::Up, "up"),
        ] {
            says.send_replace(status);
            let ready = told(&health).unwrap();
            assert_eq!(ready.status(), 200);
            assert_eq!(body(ready).await, json!({"store": "up", "broker": word}));
        }
        health.store_failed();
        let problem = told(&health).unwrap_err();
        let request = clerkwork_core::JobId::at(clerkwork_core::UnixMs(1));
        let said: Value = serde_json::from_str(problem.told(request).get()).unwrap();
        assert_eq!(
            (&said["status"], &said["store"]),
            (&json!(503), &json!("down"))
        );
        assert_eq!(said["broker"], "up");
    }
}
