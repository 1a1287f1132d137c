//! That the document describes every header of every answer, as a job's whole life brings them about.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use clerkwork_clerk::http::openapi;
use clerkwork_core::{Failure, Retry, Role, event};
use serde_json::Value;

use crate::support::{Office, Told, request, submission, with_key};

/// What RFC 9110 has of its own, and OpenAPI says elsewhere or not at all.
const OF_HTTP: [&str; 4] = ["connection", "content-length", "content-type", "date"];

/// A clerk with rates, and the headers that its answers must have and may have.
struct Described {
    office: Office,
    document: Value,
}

impl Described {
    async fn open() -> Self {
        let rates = |config: &mut clerkwork_clerk::Config| {
            config.rate_submit = Some(1_000);
            config.rate_other = Some(1_000);
        };
        Self {
            office: Office::with(rates).await,
            document: serde_json::from_str(openapi::text()).unwrap(),
        }
    }

    /// Sends a request to an endpoint; all headers of the answer must be described, these be there.
    async fn send(
        &self,
        path: &str,
        request: Request<Body>,
        status: u16,
        headers: &[&str],
    ) -> Told {
        let method = request.method().as_str().to_ascii_lowercase();
        let told = self.office.send(request).await;
        let here = format!("{method} {path}: {told:?}");
        assert_eq!(told.status, status, "{here}");
        let answer = &self.document["paths"][path][method]["responses"][status.to_string()];
        let described = answer["headers"].as_object().expect(&here);
        let described: BTreeSet<String> =
            described.keys().map(|name| name.to_lowercase()).collect();
        for name in told.headers.keys().map(|name| name.as_str()) {
            assert!(
                OF_HTTP.contains(&name) || described.contains(name),
                "{name} of {here}"
            );
        }
        for name in headers {
            assert!(told.headers.contains_key(*name), "{name} is not in {here}");
        }
        told
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        id: &str,
        status: u16,
        headers: &[&str],
    ) -> Told {
        let filled = path.replace("{id}", id).replace("{queue}", "q");
        self.send(path, request(method, &filled, ""), status, headers)
            .await
    }
}

fn waiting(mut request: Request<Body>, seconds: &str) -> Request<Body> {
    let wait = format!("wait={seconds}").parse().unwrap();
    request.headers_mut().insert("prefer", wait);
    request
}

fn having(mut request: Request<Body>, etag: &str) -> Request<Body> {
    let etag = etag.parse().unwrap();
    request.headers_mut().insert("if-none-match", etag);
    request
}

const JOB: &str = "/v1/jobs/{id}";
const OUTPUT: &str = "/v1/jobs/{id}/output";
const RATES: [&str; 2] = ["ratelimit", "ratelimit-policy"];

#[tokio::test]
async fn every_header_of_a_job_that_waits_is_described() {
    let here = Described::open().await;
    let body = r#"{"queue":"q","input":1}"#;
    let submit = || {
        let request = submission(body)
            .header("idempotency-key", "k")
            .body(body.into());
        waiting(request.unwrap(), "1")
    };
    let first = [
        "etag",
        "location",
        "preference-applied",
        "retry-after",
        "ratelimit",
    ];
    let id = here.send("/v1/jobs", submit(), 202, &first).await.id();
    let again = [&first[..], &["idempotency-replayed"]].concat();
    here.send("/v1/jobs", submit(), 202, &again).await;
    let held = waiting(request("GET", &format!("/v1/jobs/{id}"), ""), "0");
    let told = here
        .send(JOB, held, 200, &["etag", "retry-after", "ratelimit"])
        .await;
    let tag = told.header("etag").to_owned();
    let known = having(request("GET", &format!("/v1/jobs/{id}"), ""), &tag);
    let known = waiting(known, "1");
    here.send(
        JOB,
        known,
        304,
        &["etag", "preference-applied", "retry-after"],
    )
    .await;
    let output = || request("GET", &format!("/v1/jobs/{id}/output"), "");
    let unfinished = ["preference-applied", "retry-after", "ratelimit-policy"];
    here.send(OUTPUT, waiting(output(), "1"), 409, &unfinished)
        .await;
    let told = here.call("DELETE", JOB, &id, 409, &RATES).await;
    assert_eq!(told.problem(), "not-done");
}

#[tokio::test]
async fn every_header_of_a_job_that_succeeded_is_described() {
    let here = Described::open().await;
    let mut hands = here.office.hands().await;
    let id = here.office.job().await;
    let output = || request("GET", &format!("/v1/jobs/{id}/output"), "");
    let attempt = hands.take().await;
    hands.succeed(attempt, "7", 0).await;
    let bytes = [
        "content-disposition",
        "content-security-policy",
        "x-content-type-options",
    ];
    let applied = ["preference-applied", "etag"];
    let told = here
        .send(OUTPUT, waiting(output(), "20"), 200, &bytes)
        .await;
    let tag = told.header("etag").to_owned();
    here.send(OUTPUT, waiting(having(output(), &tag), "20"), 304, &applied)
        .await;
    here.call("GET", "/v1/jobs/{id}/input", &id, 200, &bytes)
        .await;
    here.call("GET", "/v1/jobs/{id}/attempts", &id, 200, &RATES)
        .await;
    here.call(
        "GET",
        "/v1/jobs/{id}/events",
        &id,
        200,
        &["x-accel-buffering"],
    )
    .await;
    here.call("POST", "/v1/jobs/{id}/retry", &id, 409, &RATES)
        .await;
    here.call("POST", "/v1/jobs/{id}/redeliver", &id, 409, &RATES)
        .await;
    here.call("DELETE", JOB, &id, 204, &RATES).await;
    here.call("GET", JOB, &id, 404, &RATES).await;
}

#[tokio::test]
async fn every_header_of_a_failed_job_and_its_retry_is_described() {
    let here = Described::open().await;
    let mut hands = here.office.hands().await;
    let body = r#"{"queue":"q","input":1,"max_attempts":1}"#;
    let id = here.office.submit(body).await.id();
    let failed = event::Reply::Failed {
        failure: Failure::new(Failure::HANDLER_ERROR, "no".to_owned(), 1),
        retry: Retry::Never,
    };
    let attempt = hands.take().await;
    hands.answer(attempt, failed, 0).await;
    let held = waiting(request("GET", &format!("/v1/jobs/{id}"), ""), "20");
    here.send(JOB, held, 200, &["preference-applied"]).await;
    here.call("GET", OUTPUT, &id, 409, &RATES).await;
    let retry = || waiting(request("POST", &format!("/v1/jobs/{id}/retry"), ""), "1");
    let made = [
        "etag",
        "location",
        "preference-applied",
        "retry-after",
        "ratelimit",
    ];
    let path = "/v1/jobs/{id}/retry";
    let retried = here.send(path, retry(), 202, &made).await.id();
    here.send(path, retry(), 202, &made).await;
    let cancel = "/v1/jobs/{id}/cancel";
    here.call("POST", cancel, &retried, 200, &["etag", "ratelimit"])
        .await;
}

#[tokio::test]
async fn every_header_of_lists_queues_and_refusals_is_described() {
    let here = Described::open().await;
    for path in [
        "/v1/jobs",
        "/v1/queues",
        "/v1/queues/{queue}",
        "/v1/workers",
    ] {
        here.call("GET", path, "", 200, &RATES).await;
    }
    here.call("PUT", "/v1/queues/{queue}", "", 200, &RATES)
        .await;
    here.call("POST", "/v1/queues/{queue}/purge", "", 200, &RATES)
        .await;
    let upgrade = ["upgrade", "sec-websocket-version", "ratelimit"];
    here.call("GET", "/v1/ws", "", 426, &upgrade).await;
    let bad = submission("{").body("{".into()).unwrap();
    here.send("/v1/jobs", bad, 400, &RATES).await;
    let bad = submission("{}").body("{}".into()).unwrap();
    here.send("/v1/jobs", bad, 422, &RATES).await;
    for path in ["/", "/healthz", "/openapi.json", "/docs"] {
        here.call("GET", path, "", 200, &[]).await;
    }
    let client = here.office.key("a", Role::Client, &[]).await;
    here.call("GET", "/v1/jobs", "", 401, &["www-authenticate"])
        .await;
    let queues = with_key(request("GET", "/v1/queues", ""), &client.reveal());
    here.send("/v1/queues", queues, 403, &[]).await;
}

#[tokio::test]
async fn whoever_has_used_its_rate_up_is_told_all_that_is_described() {
    let mut here = Described::open().await;
    here.office = Office::with(|config| {
        config.rate_other = Some(1);
        config.rate_submit = Some(1);
    })
    .await;
    let told = ["ratelimit", "ratelimit-policy", "retry-after"];
    here.call("GET", "/v1/jobs", "", 200, &RATES).await;
    here.call("GET", "/v1/jobs", "", 429, &told).await;
    let body = r#"{"queue":"q","input":1}"#;
    let submit = || submission(body).body(body.into()).unwrap();
    here.send("/v1/jobs", submit(), 202, &RATES).await;
    here.send("/v1/jobs", submit(), 429, &told).await;
}
