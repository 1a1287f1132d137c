//! The accept loop, as raw sockets see it.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::served::Served;
use crate::support::{LIMIT, Office};

impl Served {
    /// Sends these bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        // A refusal may close the connection while this is still being sent.
        let _ = socket.write_all(bytes).await;
        rest(&mut socket).await
    }
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LIMIT, socket.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until the answer ends with this.
async fn until(socket: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.contains(end) {
        let mut some = [0; 4096];
        let read = tokio::time::timeout(LIMIT, socket.read(&mut some)).await;
        let count = read.unwrap().unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    answer
}

const ALIVE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ALIVE_LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_in_one_go_are_answered_in_order() {
    let served = Served::open().await;
    let all = [
        ALIVE,
        b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ALIVE_LAST,
    ]
    .concat();
    let answers = served.exchange(&all).await;
    let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").collect();
    let statuses: Vec<_> = statuses
        .iter()
        .map(|(at, _)| &answers[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[tokio::test]
async fn over_long_heads_are_told_apart() {
    let served = Served::open().await;
    for size in [8_200, 20_000, 60_000] {
        let url = format!(
            "GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "u".repeat(size)
        );
        let answer = served.exchange(url.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 414"), "{size}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("request-id"));
    }
    for size in [16_400, 60_000, 500_000] {
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
            "h".repeat(size)
        );
        let answer = served.exchange(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{size}: {answer}");
        // What is beyond all measure is not read to its end, and its refusal may have no body.
        let told = answer.contains("application/problem+json") && answer.contains("request-id");
        assert!(told || size > 96 * 1024, "{size}: {answer}");
    }
    let many = format!(
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    assert!(
        served
            .exchange(many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
}

#[tokio::test]
async fn a_body_that_is_promised_too_large_is_refused_before_it_is_sent() {
    let served = Served::open().await;
    let head = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 99999999\r\nexpect: 100-continue\r\n\r\n";
    let answer = served.exchange(head).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"));
}

#[tokio::test]
async fn whoever_sends_too_much_anyway_still_gets_the_answer() {
    let served = Served::open().await;
    let mut request =
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 9000000\r\n\r\n"
            .to_vec();
    request.resize(request.len() + 9_000_000, b'x');
    let answer = served.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_bug_is_an_internal_error_that_says_nothing_else_and_the_connection_goes_on() {
    let mut office = Office::open().await;
    let bug = async || -> StatusCode { panic!("a bug, as this test wants it") };
    office.router = office.router.route("/bug", get(bug));
    let served = Served::of(office).await;
    let bug = b"GET /bug HTTP/1.1\r\nhost: x\r\n\r\n";
    let answers = served.exchange(&[bug, ALIVE_LAST].concat()).await;
    let (internal, alive) = answers.split_once("HTTP/1.1 200").unwrap();
    assert!(internal.starts_with("HTTP/1.1 500"), "{answers}");
    assert!(alive.ends_with(r#"{"status":"alive"}"#), "{answers}");
    let (head, body) = internal.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    assert!(head.contains("cache-control: no-store"), "{head}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["type"], "urn:clerkwork:problem:internal");
    let mut said: Vec<_> = problem.as_object().unwrap().keys().collect();
    said.sort();
    assert_eq!(said, ["instance", "status", "title", "type"]);
    let instance = problem["instance"]
        .as_str()
        .unwrap()
        .trim_start_matches("urn:uuid:");
    assert!(head.contains(&format!("request-id: {instance}")), "{head}");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let served = Served::open().await;
    let corpus: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: junk\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ];
    for bytes in corpus {
        let answer = served.exchange(bytes).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{bytes:?}: {answer}"
        );
    }
    for bytes in [
        &b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"[..],
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let answer = served.exchange(bytes).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{bytes:?}: {answer}");
    }
    let answer = served.exchange(ALIVE_LAST).await;
    assert!(answer.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_has_no_body_on_the_wire() {
    let served = Served::open().await;
    let head = b"HEAD /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = served.exchange(head).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    assert!(answer.contains("content-length: 18"), "{answer}");
}

#[tokio::test]
async fn a_drain_answers_who_waits_and_who_comes_on_an_open_connection_then_closes() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let mut waiting = served.connect().await;
    let wait = format!("GET /v1/jobs/{id} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=40\r\n\r\n");
    waiting.write_all(wait.as_bytes()).await.unwrap();
    let (mut open, mut idle) = (served.connect().await, served.connect().await);
    for socket in [&mut open, &mut idle] {
        socket.write_all(ALIVE).await.unwrap();
        until(socket, "}").await;
    }
    let desk = served.office.clerk.desk();
    served.office.somebody_waits().await;
    let began = Instant::now();
    desk.draining.cancel();
    served.stop.cancel();
    open.write_all(ALIVE).await.unwrap();
    for socket in [&mut waiting, &mut open] {
        let answer = rest(socket).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(rest(&mut idle).await, "");
    served.served.await.unwrap().unwrap();
    // Not after the wait of 40 s that one of them asked for.
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_waiter_behind() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let mut socket = served.connect().await;
    let wait = format!("GET /v1/jobs/{id} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=40\r\n\r\n");
    socket.write_all(wait.as_bytes()).await.unwrap();
    served.office.somebody_waits().await;
    drop(socket);
    served.office.nobody_waits().await;
}

#[tokio::test]
async fn a_client_that_goes_away_has_submitted_its_job_all_the_same() {
    let served = Served::open().await;
    let mut socket = served.connect().await;
    let body = r#"{"queue":"q","input":7}"#;
    let submit = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nprefer: wait=40\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(submit.as_bytes()).await.unwrap();
    served.office.somebody_waits().await;
    drop(socket);
    served.office.nobody_waits().await;
    let listed = served.office.get("/v1/jobs").await.json();
    let id = listed["jobs"][0]["id"].as_str().unwrap();
    let _worker = served.office.echo();
    assert_eq!(served.office.comes_to(id, "succeeded").await["output"], 7);
}
