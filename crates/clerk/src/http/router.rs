//! All endpoints: one line each, with who may use it.

use std::sync::Arc;

use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Extension, Router};
use tower::util::MapResponseLayer;

use crate::http::auth::{self, Identity};
use crate::http::problem::{Kind, Problem};
use crate::http::{cors, health, jobs, openapi, queues, rates, respond, welcome, workers, ws};
use crate::limits::Rate;
use crate::{Desk, Origin};

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a key.
    Anybody,
    /// Holders of a key, for their tenant's jobs.
    Clients,
    /// They, and whoever has a watch token of the job.
    Watchers,
    /// Holders of an operator's key.
    Operators,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its method; `HEAD` works where `GET` does.
    pub method: Method,
    /// Its path, with the names of its parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    handler: fn() -> MethodRouter<Arc<Desk>>,
}

/// All endpoints. There are no others: the router is made of these.
#[rustfmt::skip]
pub const ROUTES: &[Route] = {
    use Access::{Anybody, Clients, Operators, Watchers};
    &[
        Route::new(Method::GET, "/", Anybody, || get(welcome::handler)),
        Route::new(Method::GET, "/healthz", Anybody, || get(health::alive)),
        Route::new(Method::GET, "/readyz", Anybody, || get(health::ready)),
        Route::new(Method::GET, "/openapi.json", Anybody, || get(openapi::served)),
        Route::new(Method::GET, "/docs", Anybody, || get(openapi::docs)),
        Route::new(Method::GET, "/docs/docs.js", Anybody, || get(openapi::script)),
        Route::new(Method::GET, "/docs/docs.css", Anybody, || get(openapi::style)),
        Route::new(Method::POST, "/v1/jobs", Clients, || post(jobs::submit::handler)),
        Route::new(Method::GET, "/v1/jobs", Clients, || get(jobs::list::handler)),
        Route::new(Method::POST, "/v1/jobs/batch", Clients, || post(jobs::batch::handler)),
        Route::new(Method::GET, "/v1/jobs/{id}", Watchers, || get(jobs::get::handler)),
        Route::new(Method::DELETE, "/v1/jobs/{id}", Clients, || delete(jobs::delete::handler)),
        Route::new(Method::GET, "/v1/jobs/{id}/output", Watchers, || get(jobs::output::handler)),
        Route::new(Method::GET, "/v1/jobs/{id}/input", Clients, || get(jobs::input::handler)),
        Route::new(Method::GET, "/v1/jobs/{id}/attempts", Clients, || get(jobs::attempts::handler)),
        Route::new(Method::GET, "/v1/jobs/{id}/events", Watchers, || get(jobs::events::handler)),
        Route::new(Method::POST, "/v1/jobs/{id}/cancel", Clients, || post(jobs::cancel::handler)),
        Route::new(Method::POST, "/v1/jobs/{id}/retry", Clients, || post(jobs::retry::handler)),
        Route::new(Method::GET, "/v1/ws", Clients, || get(ws::handler)),
        Route::new(Method::POST, "/v1/jobs/{id}/redeliver", Clients, || post(jobs::redeliver::handler)),
        Route::new(Method::GET, "/v1/queues", Operators, || get(queues::list::handler)),
        Route::new(Method::GET, "/v1/queues/{queue}", Operators, || get(queues::get::handler)),
        Route::new(Method::PUT, "/v1/queues/{queue}", Operators, || put(queues::declare::handler)),
        Route::new(Method::PATCH, "/v1/queues/{queue}", Operators, || patch(queues::pause::handler)),
        Route::new(Method::DELETE, "/v1/queues/{queue}", Operators, || delete(queues::delete::handler)),
        Route::new(Method::POST, "/v1/queues/{queue}/purge", Operators, || post(queues::purge::handler)),
        Route::new(Method::GET, "/v1/workers", Operators, || get(workers::handler)),
    ]
};

impl Route {
    const fn new(
        method: Method,
        path: &'static str,
        access: Access,
        handler: fn() -> MethodRouter<Arc<Desk>>,
    ) -> Self {
        Self {
            method,
            path,
            access,
            handler,
        }
    }
}

/// The endpoints of a clerk.
pub fn router(desk: Arc<Desk>) -> Router {
    let clock = desk.clock.clone();
    let finish = move |response: Response| respond::finish(&*clock, response);
    let origins: Arc<[Origin]> = desk.config.cors_origins.clone().into();
    let routes = ROUTES.iter().fold(Router::new(), |router, route| {
        let handler = limited((route.handler)(), route, &desk);
        let handler = match route.access {
            Access::Operators => handler.route_layer(from_fn(auth::operators)),
            Access::Anybody | Access::Clients | Access::Watchers => handler,
        };
        router.route(route.path, handler)
    });
    let routes = routes
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_way)
        .with_state(desk.clone())
        .layer(from_fn_with_state(desk, auth::identify));
    let routes = match origins.is_empty() {
        true => routes,
        false => routes.layer(from_fn_with_state(origins, cors::answer)),
    };
    routes.layer(MapResponseLayer::new(finish))
}

/// The endpoint within the rates that are set; those that are not cost nothing.
fn limited(
    handler: MethodRouter<Arc<Desk>>,
    route: &Route,
    desk: &Arc<Desk>,
) -> MethodRouter<Arc<Desk>> {
    let rate = match route.method {
        _ if route.access == Access::Anybody => return handler,
        Method::POST if makes_jobs(route.path) => Rate::Submit,
        _ => Rate::Other,
    };
    match (desk.limits.per_second(rate), rate) {
        (None, _) => handler,
        (Some(_), Rate::Submit) => {
            handler.route_layer(from_fn_with_state(desk.clone(), rates::submissions))
        }
        (Some(_), Rate::Other) => {
            let state = (desk.clone(), route.access);
            handler.route_layer(from_fn_with_state(state, rates::others))
        }
    }
}

fn makes_jobs(path: &str) -> bool {
    matches!(path, "/v1/jobs" | "/v1/jobs/batch" | "/v1/jobs/{id}/retry")
}

async fn nothing_here(identity: Option<Extension<Identity>>) -> Problem {
    nobody(identity)
        .unwrap_or_else(|| Problem::because(Kind::NotFound, "there is no endpoint at this path"))
}

async fn not_that_way(identity: Option<Extension<Identity>>, method: Method) -> Problem {
    nobody(identity).unwrap_or_else(|| {
        // A method's name is a token, so it cannot carry anything into the sentence.
        let name: String = method.as_str().chars().take(20).collect();
        let detail = format!("{name} does nothing here: the header Allow says what does");
        Problem::because(Kind::MethodNotAllowed, detail)
    })
}

/// What somebody is told who is not to know what there is.
fn nobody(identity: Option<Extension<Identity>>) -> Option<Problem> {
    match identity {
        Some(Extension(Identity::Nobody(problem))) => Some(problem),
        _ => None,
    }
}
