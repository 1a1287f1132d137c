//! `GET /v1/ws`.

use clerkwork_clerk::Origin;
use clerkwork_core::{ApiKey, JobId, Role, UnixMs};
use clerkwork_wire::v1::EventKind;
use futures_util::SinkExt as _;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::served::Served;
use crate::support::LIMIT;

#[tokio::test]
async fn many_jobs_are_followed_on_one_connection_each_to_its_end() {
    let served = Served::open().await;
    let mut hands = served.office.hands().await;
    let mut client = served.client().await;
    let (first, second) = (served.office.job().await, served.office.job().await);
    client.subscribe(&first).await;
    client.subscribe(&second).await;
    for _ in 0..2 {
        let told = client.told().await;
        assert_eq!(
            (&told["type"], &told["event"]),
            (&json!("event"), &json!("state"))
        );
        assert_eq!(told["id"], "1.1.0");
        assert_eq!(told["job"], told["data"]["id"]);
    }
    let attempts = [hands.take().await, hands.take().await];
    for attempt in attempts {
        let line = json!({"level": "info", "message": "x"});
        hands.tell(&attempt, &[(1, EventKind::Log, line)]).await;
        hands.succeed(attempt, "7", 1).await;
    }
    let (mut ends, mut lines) = (Vec::new(), 0);
    while ends.len() < 2 {
        let told = client.told().await;
        lines += usize::from(told["event"] == "log");
        if told["data"]["done"] == true {
            assert_eq!(told["data"]["output"], 7);
            ends.push(told["job"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(lines, 2);
    ends.sort();
    assert_eq!(ends, [first.clone(), second]);
    served.office.nobody_waits().await;
    // Whoever asks again is shown the end again.
    let again = json!({"type": "subscribe", "job": first, "after": "9.9.9"});
    client.say(again).await;
    assert_eq!(client.told().await["data"]["status"], "succeeded");
}

#[tokio::test]
async fn a_position_resumes_and_subscribing_twice_replaces() {
    let served = Served::open().await;
    let mut hands = served.office.hands().await;
    let id = served.office.job().await;
    let attempt = hands.take().await;
    for seq in 1..=3 {
        hands.progress(&attempt, seq, 0.5).await;
    }
    let mut client = served.client().await;
    client.subscribe(&id).await;
    while client.told().await["id"].as_str().unwrap() != "2.1.3" {}
    client
        .say(json!({"type": "subscribe", "job": id, "after": "2.1.2"}))
        .await;
    let told = client.told().await;
    assert_eq!(
        (&told["event"], &told["id"]),
        (&json!("progress"), &json!("2.1.3"))
    );
    hands.progress(&attempt, 4, 0.6).await;
    assert_eq!(client.told().await["id"], "2.1.4");
    client.say(json!({"type": "unsubscribe", "job": id})).await;
    served.office.nobody_waits().await;
    hands.progress(&attempt, 5, 0.7).await;
    client.say(json!({"type": "subscribe", "job": "x"})).await;
    assert_eq!(client.told().await["type"], "error");
}

#[tokio::test]
async fn an_error_is_of_its_subscription_only() {
    let served = Served::open().await;
    let mut client = served.client().await;
    let id = served.office.job().await;
    for job in ["0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69", "no \"id\"\r\n"] {
        client.subscribe(job).await;
        let told = client.told().await;
        assert_eq!(
            (&told["type"], &told["job"]),
            (&json!("error"), &json!(job))
        );
        assert_eq!(told["problem"]["type"], "urn:clerkwork:problem:not-found");
        assert_eq!(told["problem"]["status"], 404);
    }
    client.subscribe(&id).await;
    assert_eq!(client.told().await["event"], "state");
}

#[tokio::test]
async fn what_is_no_message_of_ours_closes_with_4400() {
    let served = Served::open().await;
    let large = format!(r#"{{"type":"auth","token":"{}"}}"#, "x".repeat(17 * 1024));
    let bad = [
        Message::text("hello"),
        Message::text(r#"{"type":"submit","queue":"q"}"#),
        Message::binary(b"{}".to_vec()),
        Message::text(large),
    ];
    for message in bad {
        let mut client = served.client().await;
        client.0.send(message).await.unwrap();
        assert_eq!(client.closed().await, 4400);
    }
}

#[tokio::test]
async fn the_thousand_and_first_subscription_closes_with_4429() {
    let served = Served::open().await;
    let mut client = served.client().await;
    for ms in 0..=1000 {
        let job = JobId::at(UnixMs(1_763_900_000_000 + ms)).to_string();
        let message = json!({"type": "subscribe", "job": job}).to_string();
        client.0.feed(Message::text(message)).await.unwrap();
    }
    client.0.flush().await.unwrap();
    let mut last = client.next().await;
    while !matches!(last, Message::Close(_)) {
        last = client.next().await;
    }
    let Message::Close(Some(frame)) = last else {
        panic!()
    };
    assert_eq!(u16::from(frame.code), 4429);
}

#[tokio::test]
async fn what_is_no_websocket_is_told_426_before_401() {
    let served = Served::with(|_| ()).await;
    served.office.key("t", Role::Client, &[]).await;
    let told = served.office.get("/v1/ws").await;
    assert_eq!(
        (told.status.as_u16(), told.problem()),
        (426, "upgrade-required".to_owned())
    );
    assert_eq!(told.header("upgrade"), "websocket");
    assert_eq!(
        served
            .refused(&[("authorization", "Bearer nonsense")])
            .await,
        401
    );
}

#[tokio::test]
async fn the_subprotocol_is_ours_or_none() {
    let served = Served::open().await;
    let name = "sec-websocket-protocol";
    let (_client, response) = served.upgrade(&[(name, "x, clerkwork.v1")]).await.unwrap();
    assert_eq!(response.headers()[name], "clerkwork.v1");
    assert_eq!(served.refused(&[(name, "x")]).await, 400);
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_connect_unless_it_is_named() {
    let allowed: Origin = "https://app.example.com".parse().unwrap();
    let served = Served::with(|config| config.cors_origins = vec![allowed]).await;
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(
            served.refused(&[("origin", foreign)]).await,
            403,
            "{foreign}"
        );
    }
    let own = format!("http://{}", served.address);
    for good in ["https://app.example.com", &own] {
        served.upgrade(&[("origin", good)]).await.unwrap();
    }
}

#[tokio::test]
async fn with_keys_the_first_message_says_who_it_is() {
    let served = Served::open().await;
    let open = served.office.job().await;
    let key: ApiKey = served.office.key("default", Role::Client, &[]).await;
    let stranger = served.office.key("other", Role::Client, &[]).await;
    let auth = |key: &ApiKey| json!({"type": "auth", "token": key.reveal()});
    let mut client = served.client().await;
    client.say(auth(&key)).await;
    client.subscribe(&open).await;
    assert_eq!(client.told().await["event"], "state");
    let bearer = format!("Bearer {}", key.reveal());
    let (mut client, _) = served.upgrade(&[("authorization", &bearer)]).await.unwrap();
    client.subscribe(&open).await;
    let shown = client.told().await;
    assert_eq!(shown["event"], "state");
    let url = shown["data"]["watch_url"].as_str().unwrap();
    let token = url.split_once("token=").unwrap().1.to_owned();
    let mut client = served.client().await;
    client.say(auth(&stranger)).await;
    client.subscribe(&open).await;
    assert_eq!(client.told().await["problem"]["status"], 404);
    let narrow = served.office.key("default", Role::Client, &["r"]).await;
    let mut client = served.client().await;
    client.say(auth(&narrow)).await;
    client.subscribe(&open).await;
    assert_eq!(client.told().await["problem"]["status"], 404);
    let first = [
        json!({"type": "subscribe", "job": open}),
        json!({"type": "unsubscribe", "job": open}),
        json!({"type": "auth", "token": ApiKey::random().reveal()}),
        json!({"type": "subscribe", "job": open, "token": "cwt_1.9999999999.Zm9v"}),
    ];
    for message in first {
        let mut client = served.client().await;
        client.say(message.clone()).await;
        assert_eq!(client.closed().await, 4401, "{message}");
    }
    let mut client = served.client().await;
    let by_token = json!({"type": "subscribe", "job": open, "token": token});
    client.say(by_token).await;
    assert_eq!(client.told().await["data"]["watch_url"], json!(null));
    client
        .subscribe("0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69")
        .await;
    assert_eq!(client.told().await["problem"]["status"], 404);
}

#[tokio::test]
async fn a_client_that_says_nothing_for_ten_seconds_is_closed_with_4408() {
    let served = Served::open().await;
    served.office.key("t", Role::Client, &[]).await;
    let mut client = served.client().await;
    tokio::time::pause();
    assert_eq!(client.closed().await, 4408);
}

#[tokio::test]
async fn a_clerk_that_drains_closes_with_1001_and_waits_for_nobody() {
    let served = Served::open().await;
    let id = served.office.job().await;
    let mut client = served.client().await;
    client.subscribe(&id).await;
    client.told().await;
    served.office.clerk.desk().draining.cancel();
    served.stop.cancel();
    assert_eq!(client.closed().await, 1001);
    timeout(LIMIT, served.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_slow_reader_misses_live_events_and_never_a_state() {
    // It says nothing for as long as all of them take to come.
    let served = Served::with(|config| config.beat = LIMIT).await;
    let mut hands = served.office.hands().await;
    let id = served.office.job().await;
    let attempt = hands.take().await;
    let mut client = served.client().await;
    client.subscribe(&id).await;
    client.told().await;
    for first in 0..300 {
        let part = |at: u64| json!({"index": at, "data": "x".repeat(60_000)});
        let seq = first + 1;
        hands
            .tell(&attempt, &[(seq, EventKind::Chunk, part(first))])
            .await;
    }
    hands.succeed(attempt, "7", 300).await;
    served.office.comes_to(&id, "succeeded").await;
    let (mut gaps, mut seen) = (0, 0);
    loop {
        let told = client.told().await;
        match told["event"].as_str().unwrap() {
            "gap" => gaps += 1,
            "chunk" => seen += 1,
            _ if told["data"]["done"] == true => break,
            _ => {}
        }
    }
    assert!(gaps >= 1 && seen < 300, "{gaps} gaps, {seen} chunks");
}
