//! All endpoints: one line each.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use tower::util::MapResponseLayer;

use crate::http::problem::{Kind, Problem};
use crate::http::{cors, health, jobs, openapi, queues, respond, workers};
use crate::{Desk, Origin};

/// The endpoints of a clerk.
pub fn router(desk: Arc<Desk>) -> Router {
    let clock = desk.clock.clone();
    let finish = move |response: Response| respond::finish(&*clock, response);
    let origins: Arc<[Origin]> = desk.config.cors_origins.clone().into();
    let router = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::served))
        .route("/docs", get(openapi::docs))
        .route("/docs/docs.js", get(openapi::script))
        .route("/docs/docs.css", get(openapi::style))
        .route(
            "/v1/jobs",
            post(jobs::submit::handler).get(jobs::list::handler),
        )
        .route("/v1/jobs/batch", post(jobs::batch::handler))
        .route(
            "/v1/jobs/{id}",
            get(jobs::get::handler).delete(jobs::delete::handler),
        )
        .route("/v1/jobs/{id}/output", get(jobs::output::handler))
        .route("/v1/jobs/{id}/input", get(jobs::input::handler))
        .route("/v1/jobs/{id}/attempts", get(jobs::attempts::handler))
        .route("/v1/jobs/{id}/events", get(jobs::events::handler))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel::handler))
        .route("/v1/jobs/{id}/retry", post(jobs::retry::handler))
        .route("/v1/queues", get(queues::list::handler))
        .route(
            "/v1/queues/{queue}",
            get(queues::get::handler)
                .put(queues::declare::handler)
                .patch(queues::pause::handler),
        )
        .route("/v1/queues/{queue}/purge", post(queues::purge::handler))
        .route("/v1/workers", get(workers::handler))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_way)
        .with_state(desk);
    let router = match origins.is_empty() {
        true => router,
        false => router.layer(from_fn_with_state(origins, cors::answer)),
    };
    router.layer(MapResponseLayer::new(finish))
}

async fn nothing_here() -> Problem {
    Problem::because(Kind::NotFound, "there is no endpoint at this path")
}

async fn not_that_way(method: Method) -> Problem {
    // A method's name is a token, so it cannot carry anything into the sentence.
    let name: String = method.as_str().chars().take(20).collect();
    let detail = format!("{name} does nothing here: the header Allow says what does");
    Problem::because(Kind::MethodNotAllowed, detail)
}
