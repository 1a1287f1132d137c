//! Jobs that cannot be started here: given back, and the queue left to others for a while.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clerkwork_core::event;
use clerkwork_worker::Command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::service;
use crate::shop::Shop;
use crate::support::{failure, options, text};

fn install(program: &Path) {
    std::fs::write(program, "#!/bin/sh\ncat\n").unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn stands_still(shop: &mut Shop) -> String {
    let report = shop
        .clerk
        .report(|report| !report.worker.cannot_start.is_empty())
        .await;
    report.worker.cannot_start["q"].clone()
}

#[tokio::test]
async fn a_command_that_cannot_start_gives_its_job_back_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    install(&program);
    let command = Command::new([program.to_str().unwrap()]);
    let mut shop = Shop::with(command, options("x")).await;
    std::fs::remove_file(&program).unwrap();
    let outcome = shop.run("1").await;
    assert!(matches!(outcome, event::Reply::NotStarted), "{outcome:?}");
    let why = stands_still(&mut shop).await;
    assert!(why.contains("No such file"), "{why}");
    assert!(shop.working.health.borrow().cannot_start.contains_key("q"));
    install(&program);
    assert_eq!(text(&shop.run("2").await), "2");
    shop.clerk
        .report(|report| report.worker.cannot_start.is_empty())
        .await;
    assert!(shop.working.health.borrow().cannot_start.is_empty());
    shop.working.stop().await;
}

#[tokio::test]
async fn a_service_that_refuses_connections_gives_its_job_back() {
    let mut nowhere = service::shop("http://127.0.0.1:1/", options("x")).await;
    for input in ["{}", ""] {
        let outcome = nowhere.run(input).await;
        assert!(matches!(outcome, event::Reply::NotStarted), "{outcome:?}");
    }
    let why = stands_still(&mut nowhere).await;
    assert!(
        why.contains("cannot be reached") && why.contains("refused"),
        "{why}"
    );
    nowhere.working.stop().await;
}

#[tokio::test]
async fn a_queue_whose_jobs_cannot_start_is_left_to_others_ever_longer() {
    for inputs in [["1", "2", "3"], ["", "", ""]] {
        // One at a time: a second slot might take the next job before the first one's end is noted.
        let mut nowhere = service::shop_of("http://127.0.0.1:1/", options("x"), 1).await;
        let began = Instant::now();
        for input in inputs {
            let outcome = nowhere.run(input).await;
            assert!(matches!(outcome, event::Reply::NotStarted), "{outcome:?}");
        }
        // One second passed before the second job was taken, and two before the third.
        let passed = began.elapsed();
        assert!(passed >= Duration::from_secs(3), "{inputs:?}: {passed:?}");
        nowhere.working.stop().await;
    }
}

#[tokio::test]
async fn a_job_without_input_runs_once_a_connection_takes_it() {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut shop = service::shop(&url, options("x")).await;
    let (answer, answers) = tokio::sync::oneshot::channel::<()>();
    let service = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.unwrap();
        request.truncate(length);
        asked.send(request).await.unwrap();
        answers.await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        socket.write_all(answer).await.unwrap();
    });
    let submission = crate::support::job(&shop.clerk.names, "");
    shop.publish(&submission).await;
    let request = was_asked.recv().await.unwrap();
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    assert!(request.contains("\r\ncontent-length: 0\r\n"), "{request}");
    // While the service works.
    shop.clerk
        .report(|report| report.in_hand.iter().any(|hand| hand.started_at.is_some()))
        .await;
    answer.send(()).unwrap();
    assert_eq!(text(&shop.clerk.outcome(&submission).await), "ok");
    service.await.unwrap();
    shop.working.stop().await;
}

/// Answers the first request of each connection, and closes it once the second has come.
async fn answer_once(listener: TcpListener) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            if socket.read(&mut request).await.unwrap_or(0) > 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                socket.write_all(answer).await.unwrap();
            }
            let _ = socket.read(&mut request).await;
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closes_fails_no_job() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let service = tokio::spawn(answer_once(listener));
    let mut shop = service::shop(&url, options("x")).await;
    for _ in 0..20 {
        assert_eq!(text(&shop.run("{}").await), "ok");
    }
    shop.working.stop().await;
    service.abort();
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_not_charged_to_the_job() {
    // A full backlog: the system answers no further connection.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    while let Ok(Ok(taken)) = tokio::time::timeout(
        Duration::from_millis(500),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        full.push(taken);
    }
    let mut shop = service::shop(&format!("http://{address}/"), options("x")).await;
    let mut submission = crate::support::job(&shop.clerk.names, "{}");
    submission.wire.timeout_ms = 1_000;
    shop.publish(&submission).await;
    let outcome = shop.clerk.outcome(&submission).await;
    assert!(matches!(outcome, event::Reply::NotStarted), "{outcome:?}");
    shop.working.stop().await;
    drop((full, listener));
}

#[tokio::test]
async fn a_service_that_dies_at_work_fails_the_job() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut shop = service::shop(&url, options("x")).await;
    let service = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
    });
    let (failed, _) = failure(shop.run("{}").await);
    assert!(failed.detail.unwrap().contains("broke"));
    service.await.unwrap();
    shop.working.stop().await;
}
