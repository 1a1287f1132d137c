//! HTTP services as workers: answers that are streams of events, and how attempts are stopped.

use std::sync::Mutex;

use clerkwork_core::{Failure, Retry, event};
use clerkwork_wire::v1::EventKind;
use clerkwork_worker::Options;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::service::{Called, Gone, SOON, endless, said, shop, streamed};
use crate::support::{PATIENCE, failure, job, options, text};

#[tokio::test]
async fn events_are_told_on_the_way_and_the_event_output_is_the_output() {
    let mut called = Called::open(|_| {
        streamed(&[
            "\u{feff}: hello\r\nevent: progress\r\ndata: {\"fraction\":0.42,\"message\":\"page 3 of 7\"}\r\n\r",
            "\nevent: log\ndata: {\"level\":\"warn\",\"message\":\"low on paper\",\"at\":\"2026-11-24T10:00:00.000Z\"}\n\n",
            "event: chunk\nid: 7\ndata: {\"index\":0,\ndata: \"data\":{\"page\":1}}\n\nevent: ch",
            "unk\ndata: {\"data\":[2]}\n\nevent: output\ndata: {\"pages\":\ndata: 7}\n\n",
            "event: output\ndata: \"too late\"\n\n",
        ])
    })
    .await;
    let outcome = called.run("{}").await;
    let event::Reply::Succeeded { media_type, output } = outcome else {
        panic!("no success: {outcome:?}")
    };
    assert_eq!(media_type, "application/json");
    assert_eq!(output, "{\"pages\":\n7}");
    let events = called.shop.hear(4).await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Progress,
            EventKind::Log,
            EventKind::Chunk,
            EventKind::Chunk
        ]
    );
    assert_eq!(
        (&events[0].1["fraction"], &events[0].1["message"]),
        (&json!(0.42), &json!("page 3 of 7"))
    );
    assert_eq!(
        (&events[1].1["level"], &events[1].1["message"]),
        (&json!("warn"), &json!("low on paper"))
    );
    assert_eq!(events[2].1, json!({"index": 0, "data": {"page": 1}}));
    assert_eq!(events[3].1, json!({"index": 1, "data": [2]}));
    called.shop.working.stop().await;
}

#[tokio::test]
async fn unknown_and_ill_formed_events_are_ignored() {
    let mut called = Called::open(|_| {
        streamed(&[
            "data: {}\n\nevent: state\ndata: {}\n\nevent: progress\ndata: 0.4\n\n",
            "event: log\ndata: {\"level\":\"warn\"}\n\nevent: progress\ndata: {\"fraction\":7}\n\nevent: chunk\ndata: {\"data\":\"\\ud800\"}\n\n",
            "event: progress\ndata: {\"fraction\":null}\n\nevent: output\ndata: 1\n\n",
        ])
    })
    .await;
    assert_eq!(text(&called.run("{}").await), "1");
    let events = called.shop.hear(1).await;
    assert_eq!((events.len(), events[0].0), (1, EventKind::Progress));
    assert_eq!(events[0].1["fraction"], json!(null));
    called.shop.working.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_an_error_or_fails_by_policy() {
    let mut called = Called::open(|asked| match &asked.body[..] {
        b"problem" => streamed(&["event: error\ndata: {\"type\":\"urn:x\",\"detail\":\"no paper\",\"data\":{\"tray\":2}}\n\n"]),
        b"never" => streamed(&["event: error\ndata: {\"detail\":\"no such page\",\"status\":422}\n\n"]),
        b"text" => streamed(&["event: error\ndata: oh no\n\n"]),
        b"cut" => streamed(&["event: output\ndata: {\"half\":"]),
        _ => streamed(&["event: progress\ndata: {\"fraction\":1}\n\n"]),
    })
    .await;
    let (told, retry) = failure(called.run("problem").await);
    assert_eq!((told.kind.as_str(), retry), ("urn:x", Retry::Policy));
    assert_eq!(told.data.unwrap().get(), "{\"tray\":2}");
    let (told, retry) = failure(called.run("never").await);
    assert_eq!(
        (told.detail.as_deref(), retry),
        (Some("no such page"), Retry::Never)
    );
    assert_eq!(
        failure(called.run("text").await).0.detail.as_deref(),
        Some("oh no")
    );
    for input in ["cut", "silent"] {
        let (told, retry) = failure(called.run(input).await);
        assert_eq!(retry, Retry::Policy);
        assert!(told.detail.unwrap().contains("without"), "{input}");
    }
    called.shop.working.stop().await;
}

#[tokio::test]
async fn an_output_of_a_stream_over_the_limit_is_never_retried_and_not_waited_for() {
    let small = Options {
        max_output: 1000,
        ..options("x")
    };
    let mut called = Called::with(
        |asked| match &asked.body[..] {
            b"fits" => streamed(&["event: output\ndata: \"", &"x".repeat(998), "\"\n\n"]),
            b"whole" => streamed(&["event: output\ndata: \"", &"x".repeat(999), "\"\n\n"]),
            _ => {
                let begin = ["event: output\ndata: \"", &"x".repeat(5000)].concat();
                endless(begin.leak(), "text/event-stream").0
            }
        },
        small,
    )
    .await;
    assert_eq!(text(&called.run("fits").await).len(), 1000);
    for input in ["whole", "endless"] {
        let (told, retry) = failure(called.run(input).await);
        assert_eq!(
            (told.kind.as_str(), retry),
            (Failure::OUTPUT_TOO_LARGE, Retry::Never),
            "{input}"
        );
    }
    called.shop.working.stop().await;
}

#[tokio::test]
async fn a_stream_of_a_refusal_is_a_refusal() {
    let kind = [("content-type", "text/event-stream")];
    let mut called = Called::open(move |_| said(500, &kind, "event: output\ndata: 1\n\n")).await;
    let (told, retry) = failure(called.run("{}").await);
    assert_eq!(retry, Retry::Policy);
    assert!(told.detail.unwrap().starts_with("event: output"));
    called.shop.working.stop().await;
}

/// A service whose answers begin and do not end, and what tells when each is closed.
async fn never_ending(content_type: &'static str) -> (Called, tokio::sync::mpsc::Receiver<Gone>) {
    let (tell, told) = tokio::sync::mpsc::channel(4);
    let tell = Mutex::new(tell);
    let called = Called::open(move |_| {
        let begin = "event: progress\ndata: {\"fraction\":0.1}\n\n";
        let (answer, gone) = endless(begin, content_type);
        tell.lock().unwrap().try_send(gone).unwrap();
        answer
    });
    (called.await, told)
}

#[tokio::test]
async fn a_cancel_closes_the_connection_and_is_answered_cancelled() {
    for content_type in ["text/event-stream", "text/plain"] {
        let (mut called, mut open) = never_ending(content_type).await;
        let submission = called.begin().await;
        let gone = open.recv().await.unwrap();
        called.shop.clerk.cancel(&submission).await;
        let outcome = called.shop.clerk.outcome(&submission).await;
        assert!(matches!(outcome, event::Reply::Cancelled), "{outcome:?}");
        gone.wait().await;
        called.shop.working.stop().await;
    }
}

#[tokio::test]
async fn a_service_that_has_not_answered_yet_is_hung_up_on_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut shop = shop(&url, options("x")).await;
    let asked = async || {
        let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_ne!(socket.read(&mut [0; 4096]).await.unwrap(), 0);
        socket
    };
    let hung_up = async |mut socket: TcpStream| {
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
        // A connection that is reset is closed as well.
        let _ = closed.expect("it is closed");
    };
    let submission = job(&shop.clerk.names, "{}");
    shop.publish(&submission).await;
    let socket = asked().await;
    shop.clerk.cancel(&submission).await;
    let outcome = shop.clerk.outcome(&submission).await;
    assert!(matches!(outcome, event::Reply::Cancelled), "{outcome:?}");
    hung_up(socket).await;

    let (timed_out, socket) = tokio::join!(shop.run_within(SOON), asked());
    assert_eq!(failure(timed_out).0.kind, Failure::TIMED_OUT);
    hung_up(socket).await;
    shop.working.stop().await;
}

#[tokio::test]
async fn a_time_out_closes_the_connection_and_is_answered_timed_out() {
    let (mut called, mut open) = never_ending("text/event-stream").await;
    let (told, retry) = failure(called.shop.run_within(SOON).await);
    assert_eq!(
        (told.kind.as_str(), retry),
        (Failure::TIMED_OUT, Retry::Policy)
    );
    let open = tokio::time::timeout(PATIENCE, open.recv()).await.unwrap();
    open.unwrap().wait().await;
    called.shop.working.stop().await;
}

#[tokio::test]
async fn the_end_of_a_drains_grace_closes_the_connection_and_gives_the_job_back() {
    let (mut called, mut open) = never_ending("text/plain").await;
    let submission = called.begin().await;
    let gone = open.recv().await.unwrap();
    called.shop.working.shutdown.cancel();
    let outcome = called.shop.clerk.outcome(&submission).await;
    assert!(matches!(outcome, event::Reply::Returned), "{outcome:?}");
    gone.wait().await;
    called.shop.working.ended().await;
}
