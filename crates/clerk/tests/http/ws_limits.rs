//! `GET /v1/ws`: what a client may not do to the clerk, and how long it may stay.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use clerkwork_clerk::Config;
use clerkwork_core::{ApiKey, Role, UnixMs};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::{Instant, pause, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::served::Served;
use crate::support::{LIMIT, Office, request, with_key};
use crate::ws_client::{BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Raw, TEXT, frame, head};

const KIB: usize = 1024;
/// What unsubscribes from nothing.
const SOMETHING: &[u8] = br#"{"type":"unsubscribe","job":"x"}"#;

/// A clerk that looks often whether those may stay who are there.
fn often(config: &mut Config) {
    config.beat = Duration::from_millis(100);
    config.key_round = Duration::from_millis(50);
}

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

#[tokio::test]
async fn whoever_pings_and_does_not_read_is_read_no_further_and_cut_off() {
    let served = Served::open().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(served.address).await.unwrap();
    let url = format!("ws://{}/v1/ws", served.address);
    let opened = tokio_tungstenite::client_async(url.into_client_request().unwrap(), stream);
    let mut client = Raw(opened.await.unwrap().0.into_inner());
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

/// Revokes a key, as the command line does.
async fn revoke(office: &Office, key: &ApiKey) {
    let store = &office.clerk.desk().store;
    assert!(store.revoke_key(key.id(), UnixMs(2)).await.unwrap());
}

#[tokio::test]
async fn what_a_revoked_key_has_opened_ends_and_what_others_have_goes_on() {
    let usual = Config::default();
    assert!(usual.key_round + usual.beat < Duration::from_secs(20));
    let served = Served::with(often).await;
    let office = &served.office;
    let id = office.job().await;
    let (theirs, mine) = (
        office.key("default", Role::Client, &[]).await,
        office.key("default", Role::Client, &[]).await,
    );
    let shown = with_key(
        request("GET", &format!("/v1/jobs/{id}"), ""),
        &mine.reveal(),
    );
    let url = office.send(shown).await.json()["watch_url"].clone();
    let url = url.as_str().unwrap();
    let follow = |key: &ApiKey| {
        let path = format!("/v1/jobs/{id}/events");
        office.stream(with_key(request("GET", &path, ""), &key.reveal()))
    };
    let mut ends = follow(&theirs).await;
    let mut stays = [
        follow(&mine).await,
        office.stream(request("GET", url, "")).await,
    ];
    let mut sockets = Vec::new();
    for key in [&theirs, &mine] {
        let bearer = format!("Bearer {}", key.reveal());
        let by_header = served.upgrade(&[("authorization", &bearer)]).await;
        let mut by_message = served.client().await;
        let auth = json!({"type": "auth", "token": key.reveal()});
        by_message.say(auth).await;
        sockets.push([by_header.unwrap().0, by_message]);
    }
    for socket in sockets.iter_mut().flatten() {
        socket.subscribe(&id).await;
        assert_eq!(socket.told().await["event"], "state");
    }
    revoke(office, &theirs).await;
    while ends.block().await.is_some() {}
    let [of_theirs, of_mine] = &mut sockets[..] else {
        panic!()
    };
    for socket in of_theirs {
        assert_eq!(socket.closed().await, 4401);
    }
    let cancel = request("POST", &format!("/v1/jobs/{id}/cancel"), "");
    let told = office.send(with_key(cancel, &mine.reveal())).await;
    assert_eq!(told.status, 200);
    for stream in &mut stays {
        let end = loop {
            let block = stream.block().await.unwrap();
            if block.contains("cancelled") {
                break block;
            }
        };
        assert!(end.contains("event: state"), "{end}");
    }
    for socket in of_mine {
        assert_eq!(socket.told().await["data"]["status"], "cancelled");
    }
}

#[tokio::test]
async fn what_was_opened_without_a_key_ends_with_the_first_key() {
    let served = Served::with(often).await;
    let id = served.office.job().await;
    let mut stream = served.office.follow(&id, None).await;
    let mut socket = served.client().await;
    served.office.key("a", Role::Client, &[]).await;
    while stream.block().await.is_some() {}
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn a_connection_is_of_one_key() {
    let served = Served::with(often).await;
    let id = served.office.job().await;
    let one = served.office.key("default", Role::Client, &[]).await;
    let other = served.office.key("other", Role::Client, &[]).await;
    let auth = |key: &ApiKey| json!({"type": "auth", "token": key.reveal()});
    let mut client = served.client().await;
    client.say(auth(&one)).await;
    client.say(auth(&one)).await;
    client.subscribe(&id).await;
    assert_eq!(client.told().await["event"], "state");
    // Else what the first has opened would outlive it.
    client.say(auth(&other)).await;
    assert_eq!(client.closed().await, 4400);
}

#[tokio::test]
async fn a_watch_token_opens_nothing_once_its_job_is_deleted() {
    let served = Served::open().await;
    let office = &served.office;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let done = office.call("POST", &format!("{path}/cancel")).await.json();
    let token = done["watch_url"]
        .as_str()
        .unwrap()
        .split_once('?')
        .unwrap()
        .1;
    let key = office.key("default", Role::Client, &[]).await;
    let status = async |part: &str| office.get(&format!("{path}{part}?{token}")).await.status;
    assert_eq!(status("").await, 200);
    assert_eq!(status("/events").await, 200);
    let delete = with_key(request("DELETE", &path, ""), &key.reveal());
    assert_eq!(office.send(delete).await.status, 204);
    for part in ["", "/output", "/events"] {
        assert_eq!(status(part).await, 404, "{part}");
    }
    let mut client = served.client().await;
    let token = token.trim_start_matches("token=");
    let subscribe = json!({"type": "subscribe", "job": id, "token": token});
    client.say(subscribe).await;
    assert_eq!(client.told().await["problem"]["status"], 404);
}
