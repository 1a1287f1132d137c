//! A clerk in this process: its router over the queue in memory and a record in memory.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{self, Body, Bytes};
use axum::http::{Request, StatusCode};
use clerkwork_broker::memory;
use clerkwork_clerk::{Clerk, Config, http};
use clerkwork_store::sqlite;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// No request may take longer.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Door {
    runtime: Runtime,
    router: Router,
    _clerk: Clerk,
}

pub(crate) static DOOR: LazyLock<Door> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let clerk = runtime.block_on(async {
        let config = Config {
            queues: vec!["q".parse().unwrap()],
            max_input: 64 * 1024,
            ..Config::default()
        };
        let store = sqlite::memory().await.unwrap();
        Clerk::start(config, store, memory::broker()).await.unwrap()
    });
    Door {
        router: http::router(clerk.desk()),
        runtime,
        _clerk: clerk,
    }
});

impl Door {
    /// The answer to a request. None is our fault, and every refusal is a problem that says what to do.
    pub(crate) fn ask(&self, request: Request<Body>) -> (StatusCode, Bytes) {
        let answer = async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            (
                status,
                body::to_bytes(response.into_body(), usize::MAX)
                    .await
                    .unwrap(),
            )
        };
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, answer).await });
        let (status, body) = answered.expect("an answer in time");
        let said = String::from_utf8_lossy(&body);
        assert!(!status.is_server_error(), "{status}: {said}");
        if status.is_client_error() {
            let problem: Value = serde_json::from_slice(&body).expect("a problem");
            assert_eq!(problem["status"], status.as_u16(), "{said}");
        }
        (status, body)
    }
}
