//! Many streams on one clerk: idle ones cost little, and readers that never read slow nobody.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Kind, System, heavy};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Idle streams at a time.
const IDLE: usize = 10_000;
/// What one of them may cost a clerk.
const COST: u64 = 40 * 1024;
/// Readers that never read.
const DEAF: usize = 500;
const SOON: Duration = Duration::from_secs(60);

/// Opens a stream of a job; the connection, read to its first state.
async fn open(system: &System, job: &JobObject) -> TcpStream {
    let api = system.api();
    let mut socket = TcpStream::connect(api.address()).await.unwrap();
    let request = format!(
        "GET /v1/jobs/{}/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
        job.id
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    read(&mut socket, "event: state").await;
    socket
}

/// Reads a stream no further than this.
async fn read(socket: &mut TcpStream, until: &str) {
    let mut answer = String::new();
    let mut some = [0; 512];
    while !answer.contains(until) {
        let read = timeout(SOON, socket.read(&mut some)).await;
        let count = read.unwrap().unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..count]));
    }
}

#[tokio::test]
async fn ten_thousand_idle_streams_cost_little() {
    let _core = heavy().await;
    let system = Kind::Fleet.plan().queue("idle").start().await;
    let api = system.api();
    let jobs = join_all((0..50).map(|number| api.send("idle", json!(number)))).await;
    // What the first streams need, the code and the caches, is not what a stream costs.
    drop(join_all(jobs.iter().map(|job| open(&system, job))).await);
    let process = &system.clerks[0].process;
    let before = process.resident();
    let mut streams = Vec::with_capacity(IDLE);
    for _ in 0..IDLE / jobs.len() {
        // In waves, so that what is measured is what streams cost, not what their openings do.
        streams.extend(join_all(jobs.iter().map(|job| open(&system, job))).await);
    }
    let cost = process.resident().saturating_sub(before) / IDLE as u64;
    eprintln!("an idle stream costs {cost} bytes");
    assert!(cost < COST, "an idle stream costs {cost} bytes");
    // All of them are followed: the end of a job reaches each.
    api.cancel(jobs[0].id).await;
    for socket in streams.iter_mut().step_by(jobs.len()) {
        read(socket, "\"status\":\"cancelled\"").await;
    }
}

/// Tells four mebibytes in chunks of eight kibibytes.
const TALK: &str = r#"
    read go
    part=$(head -c 8000 /dev/zero | tr '\0' x)
    i=0
    while [ $i -lt 500 ]; do echo "chunk \"$part\"" >&3; i=$((i+1)); done
    echo '"said"'
"#;

#[tokio::test]
async fn five_hundred_readers_that_never_read_slow_nobody() {
    let _core = heavy().await;
    let system = Kind::Fleet
        .plan()
        .shell("talk", 1, TALK)
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let api = system.api();
    let late = json!({"queue": "talk", "input": "go", "delay_s": 20});
    let job = api.submit(&late).await;
    let deaf = join_all((0..DEAF).map(|_| open(&system, &job))).await;
    let before = system.clerks[0].process.resident();
    let path = format!("/jobs/{}/events", job.id);
    let reader = api.request(Method::GET, &path).timeout(2 * SOON);
    let reader = tokio::spawn(reader.send().await.unwrap().text());
    let talked = tokio::spawn({
        let (api, job) = (api.clone(), job.clone());
        async move { api.ended(&job).await }
    });
    while !talked.is_finished() {
        let echoed = api.run("echo", json!("hello")).await;
        assert_eq!(echoed.status, Status::Succeeded);
    }
    assert_eq!(talked.await.unwrap().status, Status::Succeeded);
    // Whoever reads is told the end, and of every chunk that it is there or gone.
    let told = timeout(SOON, reader).await.unwrap().unwrap().unwrap();
    let chunks = told.matches("event: chunk").count();
    let end = told.rsplit("event: state").next().unwrap();
    assert!(end.contains("\"status\":\"succeeded\""), "{end}");
    assert!(chunks == 500 || told.contains("event: gap"), "{chunks}");
    // Nothing is kept for those who do not read but what is kept once for all.
    let grown = system.clerks[0].process.resident().saturating_sub(before);
    assert!(grown < DEAF as u64 * 200 * 1024, "{grown} bytes more");
    drop(deaf);
}

/// Readers of one output that read nothing, half of them by the job and half by the bytes.
const STUCK: usize = 200;
/// An output of four mebibytes, with its quotes.
const LARGE: &str = r#"printf '"'; head -c 4194302 /dev/zero | tr '\0' x; printf '"'"#;

#[tokio::test]
async fn two_hundred_readers_of_one_output_that_read_nothing_cost_little() {
    let _core = heavy().await;
    let system = Kind::Embedded
        .plan()
        .shell("large", 1, LARGE)
        .command("echo", 1, &["cat"])
        .start()
        .await;
    let api = system.api();
    let job = api.run("large", json!(null)).await;
    assert_eq!(job.status, Status::Succeeded);
    let process = &system.clerks[0].process;
    let before = process.resident();
    let mut stuck = Vec::new();
    for number in 0..STUCK {
        let path = if number % 2 == 0 { "/output" } else { "" };
        let request = format!(
            "GET /v1/jobs/{}{path} HTTP/1.1\r\nhost: localhost\r\n\r\n",
            job.id
        );
        let mut socket = TcpStream::connect(api.address()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        timeout(SOON, socket.read_exact(&mut status))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        stuck.push(socket);
    }
    let grown = process.resident().saturating_sub(before);
    eprintln!("{STUCK} readers of 4 MiB cost {grown} bytes");
    // Twenty copies at most, of two hundred.
    assert!(grown < 20 * 4 * 1024 * 1024, "{grown} bytes");
    assert_eq!(
        api.run("echo", json!("hello")).await.status,
        Status::Succeeded
    );
    drop(stuck);
}
