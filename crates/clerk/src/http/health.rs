//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether it can accept jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::Desk;
use crate::http::problem::Problem;
use crate::http::respond;

/// That the process lives.
pub(crate) async fn alive() -> Result<Response, Problem> {
    respond::json(StatusCode::OK, &Alive { status: "alive" })
}

/// Whether jobs can be accepted, and what answers.
pub(crate) async fn ready(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let (store, broker) = (desk.health.store(), desk.health.broker());
    if !desk.health.can_accept() {
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
