//! What the client claims of event streams, against a small server that sends them as the contract says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use clerkwork_client::{Client, Error, Event, Events, Gap, JobId, Level, Status};
use tokio::time::timeout;

const ID: &str = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer of the server: its status, its body, and whether the connection breaks after it.
#[derive(Clone)]
struct Turn(u16, String, bool);

/// The path and the `Last-Event-ID` of a request.
type Asked = (String, Option<String>);

/// A server that gives its answers in order, and keeps what it was asked.
#[derive(Clone)]
struct Server {
    turns: Arc<Mutex<VecDeque<Turn>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How long each request is held before it is answered.
    held: Duration,
}

impl Server {
    async fn with(turns: impl IntoIterator<Item = Turn>) -> (Self, Client) {
        Self::holding(Duration::ZERO, turns).await
    }

    async fn holding(held: Duration, turns: impl IntoIterator<Item = Turn>) -> (Self, Client) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = Self {
            turns: Arc::new(Mutex::new(turns.into_iter().collect())),
            asked: Arc::default(),
            held,
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, client)
    }

    fn positions(&self) -> Vec<Option<String>> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, position)| position.clone()).collect()
    }
}

async fn answer(State(server): State<Server>, uri: Uri, headers: HeaderMap) -> Response {
    let position = headers.get("last-event-id");
    let position = position.map(|position| position.to_str().unwrap().to_owned());
    server
        .asked
        .lock()
        .unwrap()
        .push((uri.to_string(), position));
    tokio::time::sleep(server.held).await;
    let Turn(status, body, breaks) = server.turns.lock().unwrap().pop_front().unwrap();
    let kind = match (status, body.starts_with('{')) {
        (200, _) => "text/event-stream",
        (_, true) => "application/problem+json",
        _ => "text/html",
    };
    // In pieces, none of which is a whole event.
    let pieces: Vec<_> = body
        .into_bytes()
        .chunks(7)
        .map(Bytes::copy_from_slice)
        .collect();
    let end = breaks.then(|| Err(io::Error::other("cut off")));
    let pieces = pieces.into_iter().map(Ok).chain(end);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        tokio::task::yield_now().await;
        pieces.next().map(|piece| (piece, pieces))
    });
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Body::from_stream(pieces))
        .unwrap()
}

fn stream(events: &[String]) -> Turn {
    Turn(
        200,
        format!("retry: 10\n\n: hello\n\n{}", events.concat()),
        false,
    )
}

fn cut(events: &[String]) -> Turn {
    let Turn(status, body, _) = stream(events);
    Turn(status, body, true)
}

fn event(id: &str, kind: &str, data: &str) -> String {
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n")
}

fn state(id: &str, status: &str) -> String {
    let done = !matches!(status, "scheduled" | "queued" | "running");
    let job = format!(
        r#"{{"id":"{ID}","queue":"q","status":"{status}","done":{done},"attempt":1,"max_attempts":3,"tags":[],"progress":null,"input_type":"application/json","input_size":1,"output":null,"output_type":null,"output_size":null,"output_omitted":false,"error":null,"created_at":"2026-11-24T10:00:00.004Z","due_at":"2026-11-24T10:00:00.004Z","started_at":null,"finished_at":null,"expires_at":null,"cancel_requested_at":null,"retry_of":null,"retried_as":null,"webhook":null,"trace_id":null,"note":null,"watch_url":null}}"#
    );
    event(id, "state", &job)
}

fn progress(id: &str, fraction: f64) -> String {
    let data =
        format!(r#"{{"fraction":{fraction},"message":"so far","at":"2026-11-24T10:00:07.120Z"}}"#);
    event(id, "progress", &data)
}

fn id() -> JobId {
    ID.parse().unwrap()
}

/// All events to the end, each as its position and its kind.
async fn all(mut events: Events) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    while let Some(told) = timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
        let json = serde_json::to_value(&told).unwrap();
        seen.push((told.id, json["event"].as_str().unwrap().to_owned()));
    }
    assert!(
        events.next().await.unwrap().is_none(),
        "the end stays the end"
    );
    seen
}

fn pairs(seen: &[(String, String)]) -> Vec<(&str, &str)> {
    seen.iter()
        .map(|(id, kind)| (id.as_str(), kind.as_str()))
        .collect()
}

#[tokio::test]
async fn events_come_typed_and_end_with_the_final_state() {
    let (server, client) = Server::with([stream(&[
        state("2.1.0", "running"),
        progress("2.1.1", 0.5),
        event(
            "2.1.2",
            "log",
            r#"{"level":"warn","message":"low","at":"2026-11-24T10:00:07.120Z","more":1}"#,
        ),
        event("2.1.3", "chunk", r#"{"index":0,"data":{"a":1.0e400}}"#),
        event("2.1.9", "gap", r#"{"attempt":1,"from":4,"to":9}"#),
        state("3.1.9", "succeeded"),
    ])])
    .await;
    let mut events = client.events(id());
    let mut told = Vec::new();
    while let Some(next) = events.next().await.unwrap() {
        told.push(next);
    }
    assert!(matches!(&told[0].event, Event::State(job) if job.status == Status::Running));
    assert!(matches!(&told[1].event, Event::Progress(it) if it.fraction == Some(0.5)));
    assert!(matches!(&told[2].event, Event::Log(line) if line.level == Level::Warn));
    assert!(
        matches!(&told[3].event, Event::Chunk(chunk) if chunk.data.get() == r#"{"a":1.0e400}"#)
    );
    let gap = Gap {
        attempt: 1,
        from: 4,
        to: 9,
    };
    assert!(matches!(&told[4].event, Event::Gap(it) if *it == gap));
    assert!(matches!(&told[5].event, Event::State(job) if job.done));
    let line = serde_json::to_string(&told[3]).unwrap();
    assert_eq!(
        line,
        r#"{"id":"2.1.3","event":"chunk","data":{"index":0,"data":{"a":1.0e400}}}"#
    );
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [(format!("/v1/jobs/{ID}/events"), None)],
        "the end needs no other request"
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_off_amid_an_event_goes_on_after_the_last_whole_one() {
    let half = progress("2.1.2", 0.7);
    let (server, client) = Server::with([
        cut(&[
            state("2.1.0", "running"),
            progress("2.1.1", 0.5),
            half[..half.len() - 1].to_owned(),
        ]),
        cut(&[]),
        stream(&[progress("2.1.2", 0.7)]),
        stream(&[state("3.1.2", "failed")]),
    ])
    .await;
    let seen = all(client.events(id())).await;
    let expected = [
        ("2.1.0", "state"),
        ("2.1.1", "progress"),
        ("2.1.2", "progress"),
        ("3.1.2", "state"),
    ];
    assert_eq!(pairs(&seen), expected);
    let position = |position: &str| Some(position.to_owned());
    let expected = [
        None,
        position("2.1.1"),
        position("2.1.1"),
        position("2.1.2"),
    ];
    assert_eq!(server.positions(), expected);
}

#[tokio::test]
async fn a_204_is_the_end() {
    let (server, client) = Server::with([Turn(204, String::new(), false)]).await;
    assert!(all(client.events_after(id(), "3.1.9")).await.is_empty());
    assert_eq!(server.positions(), [Some("3.1.9".to_owned())]);
}

#[tokio::test]
async fn the_page_of_a_proxy_and_a_server_that_is_full_are_asked_past() {
    let full =
        r#"{"type":"urn:clerkwork:problem:unavailable","title":"T","status":503,"detail":"D"}"#;
    let (server, client) = Server::with([
        Turn(502, "<html>Bad Gateway</html>".to_owned(), false),
        Turn(503, full.to_owned(), false),
        cut(&[state("1.0.0", "queued")]),
        Turn(504, "<html>Gateway Time-out</html>".to_owned(), false),
        stream(&[state("2.1.0", "cancelled")]),
    ])
    .await;
    let seen = all(client.events(id())).await;
    assert_eq!(pairs(&seen), [("1.0.0", "state"), ("2.1.0", "state")]);
    assert_eq!(server.positions().len(), 5);
}

#[tokio::test]
async fn patience_counts_from_the_first_failure_however_late_it_comes() {
    let (held, patience) = (Duration::from_millis(400), Duration::from_millis(300));
    let (server, client) = Server::holding(
        held,
        [
            Turn(504, "<html>Gateway Time-out</html>".to_owned(), false),
            stream(&[state("2.1.0", "succeeded")]),
        ],
    )
    .await;
    let seen = all(client.patience(patience).events(id())).await;
    assert_eq!(pairs(&seen), [("2.1.0", "state")]);
    assert_eq!(server.positions().len(), 2);
}

#[tokio::test]
async fn a_job_that_is_not_there_is_an_error_at_once() {
    let problem =
        r#"{"type":"urn:clerkwork:problem:not-found","title":"T","status":404,"detail":"D"}"#;
    let (server, client) = Server::with([Turn(404, problem.to_owned(), false)]).await;
    let error = client.events(id()).next().await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    assert_eq!(server.positions().len(), 1);
}

#[tokio::test]
async fn a_server_that_was_never_there_is_unreachable() {
    let client = Client::new("http://127.0.0.1:1")
        .unwrap()
        .patience(Duration::ZERO);
    let error = client.events(id()).next().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn kinds_of_tomorrow_are_left_out_and_their_positions_count() {
    let (server, client) = Server::with([
        cut(&[
            event("2.1.1", "fireworks", "{}"),
            event("2.1.2", "log", r#"{"level":"loud"}"#),
        ]),
        stream(&[state("3.1.2", "expired")]),
    ])
    .await;
    assert_eq!(pairs(&all(client.events(id())).await), [("3.1.2", "state")]);
    assert_eq!(server.positions()[1].as_deref(), Some("2.1.2"));
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_event() {
    let mut lines: Vec<_> = (1..200)
        .map(|seq| progress(&format!("2.1.{seq}"), 0.1))
        .collect();
    lines.push(state("3.1.200", "succeeded"));
    let (first, second) = lines.split_at(100);
    let (_, client) = Server::with([cut(first), stream(second)]).await;
    let mut events = client.events(id());
    let mut seen = Vec::new();
    loop {
        // Poll it once, and give up at once where it is not there.
        match timeout(Duration::ZERO, events.next()).await {
            Ok(Ok(Some(told))) => seen.push(told.id),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    assert_eq!(seen.len(), 200);
    assert!(seen.is_sorted_by_key(|id| id.rsplit('.').next().unwrap().parse::<u32>().unwrap()));
}
