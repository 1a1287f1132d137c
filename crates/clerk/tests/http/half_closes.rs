//! Clients that close their sending side before they are answered, and those that send what nobody reads.

use std::time::Duration;

use clerkwork_clerk::http::ROUTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::served::Served;
use crate::support::{LIMIT, Office};

impl Served {
    /// Sends these bytes and closes the sending side.
    async fn sends_no_more(&self, bytes: &str) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        socket
    }

    async fn answer_to(&self, bytes: &str) -> String {
        rest(&mut self.sends_no_more(bytes).await).await
    }
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = String::new();
    let read = timeout(LIMIT, socket.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    answer
}

async fn until(socket: &mut TcpStream, what: &str) {
    let mut answer = String::new();
    while !answer.contains(what) {
        let mut some = [0; 4096];
        let count = timeout(LIMIT, socket.read(&mut some)).await.unwrap();
        let count = count.unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..count]));
    }
}

const SUBMISSION: &str = "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
    content-length: 23\r\n\r\n{\"queue\":\"q\",\"input\":1}";

#[tokio::test]
async fn a_client_that_half_closes_is_answered_on_every_route() {
    let served = Served::open().await;
    for _ in 0..20 {
        let answer = served.answer_to(SUBMISSION).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    let id = served.office.job().await;
    let cancel = format!("/v1/jobs/{id}/cancel");
    assert_eq!(served.office.call("POST", &cancel).await.status, 200);
    for route in ROUTES {
        let path = route.path.replace("{id}", &id).replace("{queue}", "q");
        let head = format!("{} {path} HTTP/1.1\r\nhost: x\r\n\r\n", route.method);
        let answer = served.answer_to(&head).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{}: {answer}", route.path);
        assert!(
            !answer.starts_with("HTTP/1.1 5"),
            "{}: {answer}",
            route.path
        );
    }
}

#[tokio::test]
async fn a_held_request_that_is_half_closed_is_answered_at_once() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let (head, body) = SUBMISSION.split_once("\r\n\r\n").unwrap();
    let held = [
        format!("{head}\r\nprefer: wait=45\r\n\r\n{body}"),
        format!("GET /v1/jobs/{id} HTTP/1.1\r\nhost: x\r\nprefer: wait=45\r\n\r\n"),
    ];
    for request in held {
        let mut socket = served.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        served.office.somebody_waits().await;
        socket.shutdown().await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        assert!(answer.contains("\"status\":\"queued\""), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        served.office.nobody_waits().await;
    }
}

#[tokio::test]
async fn a_stream_goes_on_for_a_client_that_half_closes_and_ends_for_one_gone() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let follow = format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut reads = served.sends_no_more(&follow).await;
    let mut gone = served.connect().await;
    gone.write_all(follow.as_bytes()).await.unwrap();
    for socket in [&mut reads, &mut gone] {
        until(socket, "event: state").await;
    }
    served.office.waiters(|count| count == 2).await;
    drop(gone);
    served.office.waiters(|count| count == 1).await;
    let _worker = served.office.echo();
    until(&mut reads, "\"status\":\"succeeded\"").await;
}

#[tokio::test]
async fn a_body_that_its_endpoint_does_not_take_costs_no_client_its_answer() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let cases = [
        (format!("POST /v1/jobs/{id}/cancel"), "200"),
        (format!("GET /v1/jobs/{id}"), "200"),
        ("POST /v1/nothing".to_owned(), "404"),
    ];
    for (line, status) in &cases {
        let mut socket = served.connect().await;
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![b'x'; 4_000_000]).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        // A small one is read, and the connection goes on.
        let small = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
        let answers = served.answer_to(&small.repeat(2)).await;
        let count = answers.matches(&format!("HTTP/1.1 {status}")).count();
        assert_eq!(count, 2, "{answers}");
        assert!(!answers.contains("connection: close"), "{answers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_tells_each_held_request_that_its_connection_closes() {
    let office = Office::open().await;
    let id = office.job().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let desk = office.clerk.desk();
    let stop = CancellationToken::new();
    let served = tokio::spawn(office.clerk.serve(listener, stop.clone()));
    let wait = format!("GET /v1/jobs/{id} HTTP/1.1\r\nhost: x\r\nprefer: wait=45\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(wait.as_bytes()).await.unwrap();
        held.push(socket);
    }
    while desk.waiters.len() < held.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    for mut socket in held {
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    timeout(LIMIT, served).await.unwrap().unwrap().unwrap();
}
