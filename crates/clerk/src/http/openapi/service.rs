//! The endpoints that need no key.

use axum::http::Method;
use serde_json::json;

use super::operation::{Content, Operation};
use crate::http::kind::Kind;

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let alive = Content::Json("Alive", json!({"status": "alive"}));
    let ready = Content::Json("Ready", json!({"store": "up", "broker": "up"}));
    let policy = ["Content-Security-Policy"];
    vec![
        operation("/", "welcome", "Learn what this address is").answer(
            200,
            "A text for people.",
            &Content::Text("text/plain; charset=utf-8"),
            &[],
        ),
        operation("/healthz", "alive", "Whether the process lives").answer(
            200,
            "It does.",
            &alive,
            &[],
        ),
        operation("/readyz", "ready", "Whether jobs can be accepted")
            .about("Jobs are accepted while the broker is away: the store is the backlog.")
            .answer(200, "They can.", &ready, &[])
            .problems(&[Kind::Unavailable]),
        operation("/openapi.json", "getOpenapi", "Read this document").answer(
            200,
            "This document.",
            &Content::Json("Document", json!({"openapi": "3.1.0"})),
            &[],
        ),
        operation("/docs", "getDocs", "Read this document as a page").answer(
            200,
            "The page.",
            &Content::Text("text/html; charset=utf-8"),
            &policy,
        ),
        operation("/docs/docs.js", "getDocsScript", "The script of that page").answer(
            200,
            "The script.",
            &Content::Text("text/javascript; charset=utf-8"),
            &[],
        ),
        operation("/docs/docs.css", "getDocsStyle", "The style of that page").answer(
            200,
            "The style.",
            &Content::Text("text/css; charset=utf-8"),
            &[],
        ),
    ]
}

fn operation(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::GET, path, id, summary).tag("service")
}
