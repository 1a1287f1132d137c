//! What the client claims, against a small server that answers as it is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clerkwork_client::{Batch, Client, Error, Filter, JobId, Status, Submission};

const ID: &str = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";

/// A server that gives its answers in order, the last one for ever, and keeps what it was asked.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How long each request is held before it is answered.
    held: Duration,
    url: String,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

#[derive(Clone)]
struct Asked {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    async fn with(answers: impl IntoIterator<Item = Answer>) -> (Self, Client) {
        Self::holding(Duration::ZERO, answers).await
    }

    async fn holding(held: Duration, answers: impl IntoIterator<Item = Answer>) -> (Self, Client) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
            held,
            url,
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::new(&server.url).unwrap();
        (server, client)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked {
        method,
        uri: uri.to_string(),
        headers,
        body,
    };
    server.asked.lock().unwrap().push(asked);
    tokio::time::sleep(server.held).await;
    let mut answers = server.answers.lock().unwrap();
    let next = if answers.len() > 1 {
        answers.pop_front()
    } else {
        answers.front().cloned()
    };
    let next = next.unwrap();
    let mut response = (StatusCode::from_u16(next.status).unwrap(), next.body).into_response();
    for (name, value) in next.headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

fn job(status: &str) -> String {
    let done = !matches!(status, "scheduled" | "queued" | "running");
    format!(
        r#"{{"id":"{ID}","queue":"q","status":"{status}","done":{done},"attempt":1,
        "max_attempts":3,"tags":[],"progress":null,"input_type":"application/json","input_size":1,
        "output":null,"output_type":null,"output_size":null,"output_omitted":false,"error":null,
        "created_at":"2026-11-24T10:00:00.004Z","due_at":"2026-11-24T10:00:00.004Z",
        "started_at":null,"finished_at":null,"expires_at":null,"cancel_requested_at":null,
        "retry_of":null,"retried_as":null,"webhook":null,"trace_id":null,"note":null,
        "watch_url":null,"a_field_of_tomorrow":[1]}}"#
    )
}

fn ok(status: u16, body: String) -> Answer {
    Answer {
        status,
        headers: &[],
        body,
    }
}

fn problem(status: u16, name: &str) -> Answer {
    let body = format!(
        r#"{{"type":"urn:clerkwork:problem:{name}","title":"T","status":{status},"detail":"D"}}"#
    );
    Answer {
        status,
        headers: &[("content-type", "application/problem+json")],
        body,
    }
}

fn id() -> JobId {
    ID.parse().unwrap()
}

#[tokio::test]
async fn fields_that_are_unknown_today_are_ignored() {
    let (_, client) = Server::with([ok(200, job("running"))]).await;
    assert_eq!(client.get(id()).await.unwrap().status, Status::Running);
}

#[tokio::test]
async fn a_submission_that_is_repeated_carries_the_same_key_and_the_same_bytes() {
    let busy = problem(503, "outcome-unknown");
    let (server, client) = Server::with([busy, ok(202, job("queued"))]).await;
    let submission = Submission::bytes("q", "image/png", &b"\x89PNG\r\n"[..]);
    client.submit(&submission).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(!asked[0].header("idempotency-key").is_empty());
    assert_eq!(
        asked[0].header("idempotency-key"),
        asked[1].header("idempotency-key")
    );
    for asked in asked {
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        assert!(
            text.contains(r#"{"queue":"q"}"#) && text.contains("image/png"),
            "{text}"
        );
        assert!(asked.body.windows(6).any(|bytes| bytes == b"\x89PNG\r\n"));
    }
}

#[tokio::test]
async fn patience_counts_from_the_first_failure_however_late_it_comes() {
    let (held, patience) = (Duration::from_millis(400), Duration::from_millis(300));
    let unknown = problem(503, "outcome-unknown");
    let (server, client) = Server::holding(held, [unknown, ok(202, job("queued"))]).await;
    let submission = Submission::json("q", &1).unwrap();
    client.patience(patience).submit(&submission).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0].header("idempotency-key"),
        asked[1].header("idempotency-key")
    );
}

#[tokio::test]
async fn a_pause_beyond_all_reason_is_not_waited_for() {
    let mut busy = problem(503, "unavailable");
    busy.headers = &[("retry-after", "18446744073709551615")];
    let (_, client) = Server::with([busy]).await;
    let error = client.get(id()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_longer_than_any_of_a_server_is_not_kept() {
    let (server, client) = Server::with([ok(200, "x".repeat(33 * 1024 * 1024))]).await;
    let error = client.output(id()).await.unwrap_err();
    assert!(matches!(error, Error::Unexpected(_)), "{error:?}");
    assert!(error.to_string().contains("32 MiB"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn problems_become_errors_by_what_the_caller_can_do() {
    type Is = fn(&Error) -> bool;
    let cases: [(u16, &str, Is); 5] = [
        (404, "not-found", |error| {
            matches!(error, Error::NotFound(_))
        }),
        (401, "unauthenticated", |error| {
            matches!(error, Error::Unauthorised(_))
        }),
        (403, "forbidden", |error| {
            matches!(error, Error::Unauthorised(_))
        }),
        (409, "not-done", |error| matches!(error, Error::Conflict(_))),
        (422, "invalid-request", |error| {
            matches!(error, Error::Refused(_))
        }),
    ];
    for (status, name, is) in cases {
        let (server, client) = Server::with([problem(status, name)]).await;
        let error = client.get(id()).await.unwrap_err();
        assert!(is(&error), "{error:?}");
        assert!(error.problem().unwrap().is(name));
        assert_eq!(
            server.asked().len(),
            1,
            "{name} is not mended by asking again"
        );
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer_and_is_asked_past() {
    let page = ok(502, "<html>Bad Gateway</html>".to_owned());
    let (_, client) = Server::with([page.clone(), ok(200, job("queued"))]).await;
    assert_eq!(client.get(id()).await.unwrap().status, Status::Queued);
    let (_, client) = Server::with([page]).await;
    let error = client.patience(Duration::ZERO).get(id()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let client = Client::new("http://127.0.0.1:1")
        .unwrap()
        .patience(Duration::ZERO);
    let error = client.get(id()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_an_example() {
    for url in ["", "127.0.0.1:8080", "ftp://h", "amqp://h"] {
        let error = Client::new(url).unwrap_err();
        assert!(
            error.to_string().contains("http://127.0.0.1:8080"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_wait_sees_each_change_and_ends_with_the_job() {
    let tagged = |status: &str, etag: &'static [(&'static str, &'static str)]| Answer {
        status: 200,
        headers: etag,
        body: job(status),
    };
    let (server, client) = Server::with([
        tagged("queued", &[("etag", "W/\"1\"")]),
        problem(503, "unavailable"),
        tagged("running", &[("etag", "W/\"2\"")]),
        tagged("succeeded", &[("etag", "W/\"3\"")]),
    ])
    .await;
    let mut seen = Vec::new();
    let job = client
        .follow(id(), None, |job| seen.push(job.status))
        .await
        .unwrap();
    assert_eq!(job.status, Status::Succeeded);
    assert_eq!(seen, [Status::Queued, Status::Running, Status::Succeeded]);
    let asked = server.asked();
    assert_eq!(asked[1].header("prefer"), "wait=45");
    assert_eq!(asked[1].header("if-none-match"), "W/\"1\"");
    assert_eq!(asked[3].header("if-none-match"), "W/\"2\"");
}

#[tokio::test]
async fn cancel_retry_and_output_are_held_by_the_server_for_what_is_left() {
    let answers = [ok(202, job("running")), ok(200, job("cancelled"))];
    let (server, client) = Server::with(answers).await;
    client.cancel_waiting(id(), None).await.unwrap();
    let most = Some(Duration::from_secs(7));
    client.retry_waiting(id(), most).await.unwrap();
    client.output_waiting(id(), most).await.unwrap();
    let asked = server.asked();
    let waits: Vec<_> = asked.iter().map(|it| it.header("prefer")).collect();
    assert_eq!(waits, ["wait=45", "", "wait=7", "wait=7"]);
}

#[tokio::test]
async fn a_wait_that_runs_out_gives_the_job_as_it_is() {
    let (server, client) = Server::with([ok(200, job("running"))]).await;
    let job = client.wait(id(), Some(Duration::ZERO)).await.unwrap();
    assert!(!job.done);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_no_error_but_another_is() {
    let (_, client) = Server::with([problem(503, "x"), problem(404, "not-found")]).await;
    client.delete(id()).await.unwrap();
    let (_, client) = Server::with([problem(404, "not-found")]).await;
    assert!(matches!(client.delete(id()).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_list_asks_only_for_what_was_set() {
    let page = ok(200, r#"{"jobs":[],"next_cursor":null}"#.to_owned());
    let (server, client) = Server::with([page]).await;
    let filter = Filter {
        tag: Some("a&b=c".parse().unwrap()),
        status: Some(Status::Failed),
        limit: Some(7),
        ..Filter::default()
    };
    client.list(&filter).await.unwrap();
    client.list(&Filter::default()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].uri, "/v1/jobs?status=failed&tag=a%26b%3Dc&limit=7");
    assert_eq!(asked[1].uri.trim_end_matches('?'), "/v1/jobs");
}

#[tokio::test]
async fn a_key_is_sent_and_never_shown() {
    let (server, client) = Server::with([ok(200, job("queued"))]).await;
    let client = client.api_key("cwk_hush").unwrap();
    client.cancel(id()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].header("authorization"), "Bearer cwk_hush");
    assert_eq!(asked[0].method, Method::POST);
    assert!(!format!("{client:?}").contains("hush"));
}

#[tokio::test]
async fn a_batch_is_one_request_with_one_key_and_the_inputs_byte_for_byte() {
    let busy = problem(503, "outcome-unknown");
    let jobs = ok(
        202,
        format!(r#"{{"jobs":[{},{}]}}"#, job("queued"), job("scheduled")),
    );
    let (server, client) = Server::with([busy, jobs]).await;
    let one = Submission::raw_json("q", r#"{"n": 1.00}"#.to_owned()).unwrap();
    let two = Submission::json("q", &2)
        .unwrap()
        .delay(Duration::from_secs(9));
    let submitted = client.submit_batch(&Batch::new([one, two])).await.unwrap();
    let statuses: Vec<_> = submitted.jobs.iter().map(|job| job.status).collect();
    assert_eq!(statuses, [Status::Queued, Status::Scheduled]);
    let asked = server.asked();
    assert_eq!(asked[0].uri, "/v1/jobs/batch");
    assert_eq!(
        asked[0].body,
        r#"{"jobs":[{"queue":"q","input":{"n": 1.00}},{"queue":"q","delay_s":9,"input":2}]}"#
    );
    assert_eq!(asked[0].body, asked[1].body);
    assert!(!asked[0].header("idempotency-key").is_empty());
    assert_eq!(
        asked[0].header("idempotency-key"),
        asked[1].header("idempotency-key")
    );
    let bytes = Batch::new([Submission::bytes("q", "image/png", "x")]);
    let error = client.submit_batch(&bytes).await.unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error:?}");
}

#[tokio::test]
async fn workers_and_a_redelivery_are_asked_for_where_the_contract_has_them() {
    let workers = r#"{"workers":[{"id":"w","host":"h","pid":7,"sdk":"http","version":"0.1.0",
        "queues":["q"],"running":2,"last_seen_at":"2026-11-24T10:00:00.004Z","draining":false}]}"#;
    let (server, client) =
        Server::with([ok(200, workers.to_owned()), ok(202, String::new())]).await;
    let workers = client.workers().await.unwrap();
    assert_eq!((workers[0].sdk.as_str(), workers[0].running), ("http", 2));
    client.redeliver(id()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].uri, "/v1/workers");
    assert_eq!(
        (asked[1].method.as_str(), asked[1].uri.as_str()),
        ("POST", format!("/v1/jobs/{ID}/redeliver").as_str())
    );
}
