//! The description of this interface for programs: OpenAPI 3.1, made from the code.
//!
//! Each endpoint is described in one of the files of this folder by an [`Operation`]; what all of them
//! share (problems, headers, limits) comes from where it is decided.

mod jobs;
mod objects;
mod operation;
mod queues;
mod schemas;
mod service;
mod shared;

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Response;
use serde_json::{Map, Value, json};

pub use operation::Operation;

/// The document as it is served.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    // A tree of texts and numbers cannot fail to become JSON.
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
});

/// The document as text, with a line's end at its end.
#[must_use]
pub fn text() -> &'static str {
    &TEXT
}

/// `GET /openapi.json`: the document.
pub(crate) async fn served() -> Response {
    page("application/json", text(), None)
}

/// `GET /docs`: a page for people that shows the document.
pub(crate) async fn docs() -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let html = include_str!("page/docs.html");
    page("text/html; charset=utf-8", html, Some(policy))
}

/// `GET /docs/docs.js`: the page's script.
pub(crate) async fn script() -> Response {
    let script = include_str!("page/docs.js");
    page("text/javascript; charset=utf-8", script, None)
}

/// `GET /docs/docs.css`: the page's style.
pub(crate) async fn style() -> Response {
    page(
        "text/css; charset=utf-8",
        include_str!("page/docs.css"),
        None,
    )
}

fn page(kind: &'static str, text: &'static str, policy: Option<&'static str>) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(policy) = policy {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    response
}

/// Everything that is served, in the order of the document.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let all = [jobs::all(), queues::all(), service::all()];
    all.into_iter().flatten().collect()
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let item = paths
            .entry(operation.path().to_owned())
            .or_insert_with(|| json!({}));
        let method = operation.method();
        item[method] = operation.value();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Clerkwork",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Jobs over HTTP: submit, wait, and read the result, at any clerk.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The clerk that serves this document"}],
        "security": [{"key": []}, {}],
        "tags": [
            {"name": "jobs", "description": "Submit jobs, wait for them, read and end them."},
            {"name": "queues", "description": "Look after queues and workers, as an operator."},
            {"name": "service", "description": "What needs no key."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `cwk_`, an id, and a secret. While the service has \
                        no keys, every caller on its own machine is let in.",
                },
                "token": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "The watch token of one job, from its `watch_url`: for reading \
                        the job, its output and its events in a browser.",
                },
            },
            "headers": shared::headers(),
            "parameters": shared::parameters(),
            "schemas": schemas::all(),
        },
    })
}

const ABOUT: &str = "\
One resource, the job: submit, wait, poll, stream and webhook all hand over the same Job object. The \
HTTP status speaks of the request, `status` of the job: a job that failed is a `200` with \
`\"status\": \"failed\"`. A job whose `done` is true never changes again.

Every 4xx and 5xx is an `application/problem+json`; `type` says which one it is. Every answer has a \
`Request-Id`, `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`. `HEAD` works where \
`GET` does; any other method is a `405` with `Allow`. Fields may be added to answers: ignore those you do not know.";
