//! Requests whose end two programs could see in different places: none is answered twice, with nginx between or without.

use std::time::Duration;

use clerkwork_core::JobObject;
use clerkwork_tests::{Kind, System};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The request that hides in another's body. It would cancel a job.
fn hidden(job: &JobObject) -> String {
    format!(
        "POST /v1/jobs/{}/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
        job.id
    )
}

/// Heads of requests whose length is told twice, or not as the standard has it. `N` stands for the length of what follows.
///
/// A line that ends with a bare LF is not among them: clerks and nginx alike read it as a line, as the standard permits.
const HEADS: &[&str] = &[
    "content-length: N\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ncontent-length: N",
    "content-length: 5\r\ncontent-length: N",
    "content-length: N, 5",
    "content-length: +5",
    "content-length: 0x5",
    "content-length: -1",
    "content-length: 5 5",
    "content-length : 5",
    "transfer-encoding : chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: identity\r\ncontent-length: 5",
    "transfer-encoding:\x0bchunked",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding\r\n: chunked",
    "x: y\r\n transfer-encoding: chunked",
    "content-length: 99999999999999999999",
];

/// Chunks that end in other places for a careless reader.
const CHUNKS: &[&str] = &[
    "0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
];

/// What comes back until the connection ends or falls silent.
async fn exchange(address: &str, bytes: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A refusal may close the connection while this is still being sent.
    let _ = socket.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let mut some = [0; 16 * 1024];
    while let Ok(Ok(count @ 1..)) =
        timeout(Duration::from_millis(700), socket.read(&mut some)).await
    {
        answer.extend_from_slice(&some[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn corpus(hidden: &str) -> Vec<String> {
    let start =
        "POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let told_twice = HEADS.iter().map(|head| {
        let body = format!("0\r\n\r\n{hidden}");
        let head = head.replace('N', &body.len().to_string());
        format!("{start}{head}\r\n\r\n{body}")
    });
    let chunked = CHUNKS
        .iter()
        .skip(1)
        .map(|chunks| format!("{start}transfer-encoding: chunked\r\n\r\n{chunks}{hidden}"));
    told_twice.chain(chunked).collect()
}

/// No request is taken for two, but where the standard itself says that there are two.
async fn nothing_is_smuggled(system: &System, address: &str) {
    let job = system.api().send("idle", json!(1)).await;
    for request in corpus(&hidden(&job)) {
        let answer = exchange(address, &request).await;
        let statuses: Vec<&str> = answer
            .match_indices("HTTP/1.1 ")
            .map(|(at, _)| &answer[at + 9..at + 12])
            .collect();
        let now = system.api().job(job.id).await;
        assert!(!now.done, "{request:?} cancelled a job: {answer}");
        assert!(statuses.len() <= 1, "{request:?} is answered {statuses:?}");
        assert!(
            statuses
                .iter()
                .all(|status| status.starts_with('4') || *status == "501"),
            "{request:?} is answered {statuses:?}"
        );
    }
    let alive: Value = system.api().json(Method::GET, "/jobs", None).await;
    assert!(alive["jobs"].is_array());
}

#[tokio::test]
async fn no_request_hides_in_another_whether_sent_to_a_clerk_or_through_nginx() {
    let system = Kind::Fleet.plan().queue("idle").start().await;
    let front = system.front().await;
    let clerk = system.api();
    for address in [clerk.address(), front.api.address()] {
        nothing_is_smuggled(&system, address).await;
    }
}
