//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether it can accept jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::{Clock as _, UnixMs};
use serde::Serialize;

use crate::Desk;
use crate::health::Health;
use crate::http::problem::Problem;
use crate::http::respond;
use crate::queues::FailedQueues;

/// That the process lives.
pub(crate) async fn alive() -> Result<Response, Problem> {
    respond::json(StatusCode::OK, &Alive { status: "alive" })
}

/// Whether jobs can be accepted, and what answers.
pub(crate) async fn ready(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    told(&desk.health, desk.queues.failed(), desk.clock.now())
}

fn told(health: &Health, failed: FailedQueues, now: UnixMs) -> Result<Response, Problem> {
    let ready = Ready {
        store: health.store(),
        store_seen_at: health.store_answered().map(|ago| now.before(ago)),
        broker: health.broker(),
        broker_seen_at: health.came_round().map(|ago| now.before(ago)),
        mismatched_queues: failed.mismatched,
        refused_queues: failed.refused,
    };
    if health.can_accept() {
        respond::json(StatusCode::OK, &ready)
    } else {
        Err(Problem::not_ready(ready))
    }
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

/// What answers, and when each last proved it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ready {
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_seen_at: Option<UnixMs>,
    broker: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_seen_at: Option<UnixMs>,
    /// The broker's queues that exist with other arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatched_queues: Vec<String>,
    /// Queues that the broker refuses to make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_queues: Vec<String>,
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
    use crate::config::Config;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    async fn body(response: Response) -> Value {
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn only_without_its_store_can_a_clerk_accept_no_jobs() {
        let (says, broker) = watch::channel(Status::Down("it is away".into()));
        let health = Health::new(broker, CancellationToken::new(), &Config::default());
        let unready = told(&health, FailedQueues::default(), NOW)
            .unwrap_err()
            .into_response();
        assert_eq!(unready.status(), 503, "nothing was heard of the store yet");
        health.beat();
        for (status, word) in [
            (Status::Down("it is away".into()), "down"),
            (Status::Blocked, "blocked"),
            (Status::Up, "up"),
        ] {
            says.send_replace(status);
            let ready = told(&health, FailedQueues::default(), NOW).unwrap();
            assert_eq!(ready.status(), 200);
            let now = NOW.to_string();
            assert_eq!(
                body(ready).await,
                json!({"store": "up", "store_seen_at": now, "broker": word})
            );
        }
        health.round();
        tokio::time::advance(Duration::from_secs(3)).await;
        let said = body(told(&health, FailedQueues::default(), NOW).unwrap()).await;
        assert_eq!(
            said["broker_seen_at"],
            NOW.before(Duration::from_secs(3)).to_string()
        );
        health.store_failed();
        let problem = told(&health, FailedQueues::default(), NOW).unwrap_err();
        let request = clerkwork_core::JobId::at(clerkwork_core::UnixMs(1));
        let said: Value = serde_json::from_str(problem.told(request).get()).unwrap();
        assert_eq!(
            (&said["status"], &said["store"]),
            (&json!(503), &json!("down"))
        );
        assert_eq!(said["broker"], "up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_queue_is_named_and_makes_no_clerk_unready() {
        let (_says, broker) = watch::channel(Status::Up);
        let health = Health::new(broker, CancellationToken::new(), &Config::default());
        health.beat();
        let failed = FailedQueues {
            mismatched: vec!["clerkwork.jobs.foo".to_owned()],
            refused: vec!["clerkwork.jobs.bar".to_owned()],
        };
        let ready = told(&health, failed, NOW).unwrap();
        assert_eq!(ready.status(), 200);
        let said = body(ready).await;
        assert_eq!(said["mismatched_queues"], json!(["clerkwork.jobs.foo"]));
        assert_eq!(said["refused_queues"], json!(["clerkwork.jobs.bar"]));
    }
}
