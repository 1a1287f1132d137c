//! Bodies that are small while they travel and vast once unpacked: nothing is unpacked.

use std::time::Duration;

use clerkwork_core::JobObject;
use clerkwork_tests::{Kind, System, claims, heavy, python};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

claims! {
    ten_megabytes_that_would_be_ten_gigabytes_are_refused_and_cost_no_memory,
    what_is_packed_within_an_input_stays_packed,
}

/// The most by which a clerk may grow.
const GROWTH: u64 = 50 << 20;
/// A mebibyte of zeros packed by gzip, so often in a row: a gzip file of ten gibibytes.
const MEMBERS: usize = 10 * 1024;

/// A mebibyte of zeros, packed so often by gzip.
async fn packed(times: usize) -> Vec<u8> {
    let program = format!(
        "import gzip, sys; b = bytes(1 << 20)\nfor _ in range({times}): b = gzip.compress(b)\nsys.stdout.buffer.write(b)"
    );
    let packed = Command::new(python()).args(["-c", &program]).output();
    let packed = packed.await.unwrap();
    assert!(packed.status.success(), "{packed:?}");
    packed.stdout
}

/// A frame of Zstandard: each four bytes say that 128 KiB of zeros follow.
fn zstandard() -> Vec<u8> {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let blocks = [0x02, 0x00, 0x10, 0x00].repeat(10 << 18);
    [&head[..], &blocks, &[0x03, 0x00, 0x10, 0x00]].concat()
}

/// Sends the body as long as the clerk takes it; what it answers, and the most memory that it had meanwhile.
async fn send(system: &System, coding: &str, body: &[u8]) -> (String, u64) {
    let address = system.api().address().to_owned();
    let process = &system.clerks[0].process;
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = socket.into_split();
    let length = body.len();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
    );
    let sending = async {
        let mut most = process.resident();
        // A refusal may close the connection while this is still being sent.
        let _ = write.write_all(head.as_bytes()).await;
        for chunk in body.chunks(256 << 10) {
            if write.write_all(chunk).await.is_err() {
                break;
            }
            most = most.max(process.resident());
        }
        most
    };
    let reading = async {
        let mut told = Vec::new();
        while let Ok(1..) = read.read_buf(&mut told).await {
            if told.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&told).into_owned()
    };
    let both = async { tokio::join!(sending, reading) };
    let (most, told) = timeout(Duration::from_secs(60), both).await.unwrap();
    (told, most.max(process.resident()))
}

async fn ten_megabytes_that_would_be_ten_gigabytes_are_refused_and_cost_no_memory(kind: Kind) {
    let _core = heavy().await;
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    api.send("q", json!("before")).await;
    let once = packed(1).await;
    let gzip = once.repeat(MEMBERS);
    assert!(
        ((9 << 20)..(12 << 20)).contains(&gzip.len()),
        "{}",
        gzip.len()
    );
    let twice = packed(2).await.repeat(MEMBERS);
    let before = system.clerks[0].process.resident();
    for (coding, body) in [
        ("gzip", &gzip),
        ("x-gzip", &gzip),
        ("gzip, gzip", &twice),
        ("gzip;q=1", &gzip),
        ("GZIP", &gzip),
        ("identity, gzip", &gzip),
        ("deflate", &gzip),
        ("br", &gzip),
        ("zstd", &zstandard()),
        ("gzip", &once[..once.len() / 2].to_vec()),
        ("gzip", &Vec::new()),
    ] {
        let (told, most) = send(&system, coding, body).await;
        assert!(told.starts_with("HTTP/1.1 415 "), "{coding}: {told}");
        let growth = most.saturating_sub(before);
        assert!(growth < GROWTH, "{coding}: {growth} bytes more");
    }
    let jobs = api.json(Method::GET, "/jobs", None).await;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
}

async fn what_is_packed_within_an_input_stays_packed(kind: Kind) {
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    api.send("q", json!("before")).await;
    let before = system.clerks[0].process.resident();
    let bomb = packed(1).await.repeat(2 * 1024);
    let part = Part::bytes(bomb.clone()).file_name("bomb.gz");
    let part = part.mime_str("application/gzip").unwrap();
    let form = Form::new()
        .text("job", r#"{"queue":"q"}"#)
        .part("input", part);
    let answer = api.request(Method::POST, "/jobs").multipart(form);
    let job: JobObject = answer.send().await.unwrap().json().await.unwrap();
    let kept = api.bytes(&format!("/jobs/{}/input", job.id)).await;
    assert_eq!(kept.0, "application/gzip");
    assert!(kept.1 == bomb, "it was changed");
    let growth = system.clerks[0].process.resident().saturating_sub(before);
    assert!(growth < GROWTH, "{growth} bytes more");
}
