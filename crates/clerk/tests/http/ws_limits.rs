//! `GET /v1/ws`: what a client may not do to the clerk, and how long it may stay.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use clerkwork_wire::v1::EventKind;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::{Instant, pause, sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::served::Served;
use crate::support::LIMIT;
use crate::ws_client::{
    BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Raw, TEXT, frame, head, often,
};

const KIB: usize = 1024;
/// What unsubscribes from nothing.
const SOMETHING: &[u8] = br#"{"type":"unsubscribe","job":"x"}"#;

#[tokio::test]
async fn the_server_pings_every_15_s_and_whoever_answers_stays() {
    let served = Served::open().await;
    let mut client = served.client().await;
    pause();
    let began = Instant::now();
    for number in 1..=20 {
        let told = client.next().await;
        assert!(matches!(told, Message::Ping(_)), "{told:?}");
        let at = began.elapsed().as_secs();
        assert!((15 * number - 1..=15 * number + 2).contains(&at), "{at}");
    }
}

#[tokio::test]
async fn a_client_that_is_silent_for_45_s_is_closed() {
    let served = Served::open().await;
    let mut client = served.raw().await;
    pause();
    let began = Instant::now();
    assert_eq!(client.read().await.0, PING);
    assert_eq!(client.read().await.0, PING);
    assert_eq!(client.closed().await, 1001);
    let at = began.elapsed().as_secs();
    assert!((44..=47).contains(&at), "{at}");
}

#[tokio::test]
async fn any_word_of_a_client_is_a_sign_of_life() {
    let served = Served::open().await;
    let mut client = served.raw().await;
    pause();
    let mut last = Instant::now();
    for (first, data) in [
        (PONG, &b""[..]),
        (PING, b""),
        (TEXT, SOMETHING),
        (PONG, b"x"),
    ] {
        sleep(Duration::from_secs(30)).await;
        client.send(&frame(FINAL | first, data)).await;
        last = Instant::now();
    }
    // The times of a connection count from its last word, not from a ping.
    assert_eq!(client.closed().await, 1001);
    let silent = last.elapsed().as_secs();
    assert!((44..=47).contains(&silent), "{silent}");
}

#[tokio::test]
async fn a_frame_that_says_it_is_too_large_is_refused_before_it_comes() {
    let served = Served::open().await;
    for length in [16 * 1024 + 1, 100 * 1024 * 1024, u64::MAX >> 1] {
        let mut client = served.raw().await;
        client.send(&head(FINAL | TEXT, length)).await;
        assert_eq!(client.closed().await, 4400, "{length}");
    }
    // Whoever sends it all the same learns why nobody reads it.
    let mut client = served.raw().await;
    client.send(&head(FINAL | TEXT, 100 << 20)).await;
    client.send(&vec![b' '; 8 << 20]).await;
    assert_eq!(client.closed().await, 4400);
    let mut client = served.raw().await;
    let mut largest = SOMETHING.to_vec();
    largest.resize(16 * KIB, b' ');
    client.send(&frame(FINAL | TEXT, &largest)).await;
    client.send(&frame(FINAL | PING, b"still here")).await;
    assert_eq!(client.read().await, (PONG, b"still here".to_vec()));
}

#[tokio::test]
async fn a_message_in_pieces_is_no_larger_than_one_in_one_piece() {
    let served = Served::open().await;
    let mut client = served.raw().await;
    client.send(&frame(TEXT, &[b' '; KIB])).await;
    for _ in 0..15 {
        client.send(&frame(CONTINUATION, &[b' '; KIB])).await;
    }
    client.send(&frame(FINAL | PING, b"so far")).await;
    assert_eq!(client.read().await, (PONG, b"so far".to_vec()));
    client.send(&frame(CONTINUATION, b" ")).await;
    assert_eq!(client.closed().await, 4400);
}

#[tokio::test]
async fn empty_pieces_in_thousands_change_nothing() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let mut client = served.raw().await;
    let message = json!({"type": "subscribe", "job": id}).to_string();
    let (one, two) = message.as_bytes().split_at(20);
    client.send(&frame(TEXT, one)).await;
    client.send(&frame(CONTINUATION, b"").repeat(50_000)).await;
    client.send(&frame(FINAL | CONTINUATION, two)).await;
    let (kind, told) = client.read().await;
    assert_eq!(kind, TEXT);
    assert!(String::from_utf8(told).unwrap().contains("\"state\""));
}

#[tokio::test]
async fn a_flood_that_never_becomes_a_message_holds_no_time_off() {
    let served = Served::with(often).await;
    let client = served.raw().await.0.into_std().unwrap();
    let mut flood = client.try_clone().unwrap();
    let flooding = std::thread::spawn(move || {
        let piece = frame(CONTINUATION, b"");
        let (pieces, mut at) = (piece.repeat(10_000), 0);
        let mut sent = flood.write(&frame(TEXT, b"")).map(|_| 0);
        loop {
            match sent {
                Ok(count) => at = (at + count) % piece.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return,
            }
            sent = flood.write(&pieces[at..]);
        }
    });
    let began = Instant::now();
    let mut client = Raw(tokio::net::TcpStream::from_std(client).unwrap());
    assert_eq!(client.closed().await, 1001);
    assert!(began.elapsed() < LIMIT / 2);
    drop(client);
    let ended = tokio::task::spawn_blocking(|| flooding.join());
    timeout(LIMIT, ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_text_or_breaks_the_protocol_closes_with_4400() {
    let served = Served::open().await;
    let unmasked = [FINAL | TEXT, 2, b'{', b'}'];
    let bad: [&[&[u8]]; 11] = [
        &[&frame(FINAL | TEXT, b"\xff")],
        &[&frame(FINAL | TEXT, b"{\"type\":\"\xc3\x28\"}")],
        &[&frame(TEXT, b"\xc3"), &frame(FINAL | CONTINUATION, b"\x28")],
        &[&frame(TEXT, b"{\xc3"), &frame(FINAL | CONTINUATION, b"")],
        &[&frame(FINAL | BINARY, SOMETHING)],
        &[&frame(BINARY, b"{"), &frame(FINAL | CONTINUATION, b"}")],
        &[&frame(FINAL | CONTINUATION, SOMETHING)],
        &[&frame(TEXT, b"{"), &frame(FINAL | TEXT, SOMETHING)],
        &[&frame(PING, b"in pieces")],
        &[&frame(FINAL | PING, &[0; 126])],
        &[&unmasked],
    ];
    for frames in bad {
        let mut client = served.raw().await;
        client.send(&frames.concat()).await;
        assert_eq!(client.closed().await, 4400, "{frames:?}");
    }
    for first in [FINAL | 3, FINAL | 11, FINAL | TEXT | 0x40] {
        let mut client = served.raw().await;
        client.send(&frame(first, SOMETHING)).await;
        assert_eq!(client.closed().await, 4400, "{first:#x}");
    }
}

/// A client of whom little is on its way that it has not read.
async fn deaf(served: &Served) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(served.address).await.unwrap();
    let url = format!("ws://{}/v1/ws", served.address);
    let (socket, _) = client_async(url, stream).await.unwrap();
    Raw(socket.into_inner())
}

#[tokio::test]
async fn whoever_pings_and_does_not_read_is_read_no_further_and_cut_off() {
    let served = Served::open().await;
    let mut client = deaf(&served).await;
    let pings = frame(FINAL | PING, &[b'x'; 125]).repeat(1_000);
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.send(&pings))
        .await
        .is_ok()
    {
        sent += pings.len();
        // What the kernel keeps for both sides is far less.
        assert!(
            sent < 64 * KIB * KIB,
            "all pings of a client are read that reads no pong"
        );
    }
    pause();
    let began = Instant::now();
    let gone = async {
        loop {
            client.0.writable().await.unwrap();
            match client.0.try_write(&pings) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    let took = began.elapsed().as_secs();
    assert!(took <= 30, "{took}");
}

#[tokio::test]
async fn whoever_reads_nothing_while_more_than_4_mib_wait_is_closed_and_told_so() {
    const JOBS: usize = 10;
    let served = Served::open().await;
    let mut hands = served.office.hands().await;
    let mut client = deaf(&served).await;
    for _ in 0..JOBS {
        let id = served.office.job().await;
        let subscribe = json!({"type": "subscribe", "job": id}).to_string();
        client
            .send(&frame(FINAL | TEXT, subscribe.as_bytes()))
            .await;
        let state = client.read().await.1;
        assert!(String::from_utf8(state).unwrap().contains(&id));
    }
    for _ in 0..JOBS {
        let attempt = hands.take().await;
        let part = |index: u64| {
            let data = json!({"index": index, "data": "x".repeat(60 * KIB)});
            (index + 1, EventKind::Chunk, data)
        };
        // As much as is kept of a job.
        let parts: Vec<_> = (0..16).map(part).collect();
        hands.tell(&attempt, &parts).await;
    }
    let began = Instant::now();
    // Before it is closed, what it follows is let go.
    served.office.nobody_waits().await;
    assert_eq!(client.closed().await, 4429);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "as if less waited"
    );
}

#[tokio::test]
async fn of_subscriptions_that_replace_each_other_one_is_left() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let mut client = served.raw().await;
    let message = json!({"type": "subscribe", "job": id}).to_string();
    let frames = frame(FINAL | TEXT, message.as_bytes()).repeat(20_000);
    client.send(&frames).await;
    client.send(&frame(FINAL | PING, b"read")).await;
    while client.read().await.0 != PONG {}
    // The last one is the one that is there.
    served.office.somebody_waits().await;
    assert!(served.office.clerk.desk().waiters.len() <= 1);
    client.send(&frame(FINAL | CLOSE, b"")).await;
    served.office.nobody_waits().await;
}
