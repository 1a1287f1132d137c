//! Clients that send or read as slowly as they can: they cost the others nothing.

use std::net::SocketAddr;
use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, Process, System, claims, clerkwork, eventually, heavy};
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

/// Connections that send a byte a second.
const DRIPS: usize = 2_000;
/// A request's head may take ten seconds; a busy machine may notice late.
const CUT: Duration = Duration::from_secs(40);

claims! {
    two_thousand_clients_that_drip_are_cut_off_and_slow_nobody,
    a_body_that_does_not_come_is_given_up_and_its_client_told,
}

fn address(system: &System) -> String {
    system.api().address().to_owned()
}

/// Sends a byte of a head each second until it is cut off; what it was told.
async fn drip(address: String) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket
        .write_all(b"GET /v1/jobs HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let mut told = Vec::new();
    let mut some = [0; 1024];
    let end = Instant::now() + CUT;
    while Instant::now() < end {
        match timeout(Duration::from_secs(1), socket.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => return String::from_utf8_lossy(&told).into_owned(),
            Ok(Ok(count)) => told.extend_from_slice(&some[..count]),
            Err(_) => {
                // Once it is cut off, the next read tells.
                let _ = socket.write_all(b"y").await;
            }
        }
    }
    panic!("a client that drips is still connected after {CUT:?}");
}

async fn two_thousand_clients_that_drip_are_cut_off_and_slow_nobody(kind: Kind) {
    let _core = heavy().await;
    let system = kind.plan().command("echo", 4, &["cat"]).start().await;
    let api = system.api();
    let drips: Vec<_> = (0..DRIPS)
        .map(|_| tokio::spawn(drip(address(&system))))
        .collect();
    for round in 0..20 {
        let job = api.run("echo", json!(round)).await;
        assert_eq!(job.status, Status::Succeeded);
    }
    for drip in join_all(drips).await {
        let told = drip.unwrap();
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");
    }
}

async fn a_body_that_does_not_come_is_given_up_and_its_client_told(kind: Kind) {
    let system = kind.plan().queue("idle").start().await;
    let mut socket = TcpStream::connect(address(&system)).await.unwrap();
    let head = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    let dripping = async {
        let mut some = [0; 4096];
        loop {
            match timeout(Duration::from_secs(1), socket.read(&mut some)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(count)) => told.extend_from_slice(&some[..count]),
                Err(_) => {
                    let _ = socket.write_all(b" ").await;
                }
            }
        }
    };
    timeout(Duration::from_secs(60), dripping).await.unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    assert!(
        told.contains("urn:clerkwork:problem:request-timeout"),
        "{told}"
    );
    let jobs = system.api().json(reqwest::Method::GET, "/jobs", None).await;
    assert_eq!(jobs["jobs"], json!([]));
}

/// Asks a clerk whether it lives, from this address of loopback; the connection and what it was told.
async fn ask(clerk: SocketAddr, from: &str) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(clerk).await.unwrap();
    // Who is not let in is told so whatever it says.
    let _ = stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let mut told = vec![0; 4096];
    let read = timeout(Duration::from_secs(20), stream.read(&mut told)).await;
    let length = read.unwrap().unwrap_or(0);
    (
        stream,
        String::from_utf8_lossy(&told[..length]).into_owned(),
    )
}

#[tokio::test]
async fn an_address_that_takes_all_connections_it_gets_leaves_some_to_others() {
    let _core = heavy().await;
    let folder = tempfile::tempdir().unwrap();
    let mut few_files = Command::new("sh");
    few_files.args(["-c", "ulimit -n 600; exec \"$@\"", "sh"]);
    few_files
        .arg(clerkwork())
        .args(["dev", "--listen", "127.0.0.1:0", "--data"]);
    few_files.arg(folder.path().join("data"));
    let mut clerk = Process::start("dev", few_files, folder.path());
    let line = clerk.line_with("http://").await;
    let address = line.split("http://").nth(1).unwrap().trim();
    let address: SocketAddr = address.parse().unwrap();

    let mut theirs = Vec::new();
    let refused = loop {
        let (stream, told) = ask(address, "127.0.0.2").await;
        if !told.starts_with("HTTP/1.1 200") {
            break told;
        }
        theirs.push(stream);
        assert!(theirs.len() < 600, "there are no more files");
    };
    assert!(theirs.len() >= 250, "{}", theirs.len());
    // A connection that is closed while its client still writes may lose what it was told.
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 503"),
        "{refused}"
    );
    for _ in 0..20 {
        let (_stream, told) = ask(address, "127.0.0.1").await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    }
    theirs.clear();
    let again = async || {
        let (_stream, told) = ask(address, "127.0.0.2").await;
        told.starts_with("HTTP/1.1 200").then_some(())
    };
    eventually("there is room again", Duration::from_secs(60), again).await;
}
