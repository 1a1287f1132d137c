//! How long those may stay who follow jobs, by stream or by WebSocket: as long as what let them in is good.

use std::time::Duration;

use clerkwork_clerk::Config;
use clerkwork_core::{ApiKey, Role, UnixMs};
use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::served::Served;
use crate::support::{Office, request, with_key};
use crate::ws_client::often;

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

#[tokio::test]
async fn with_keys_a_first_message_that_is_no_auth_closes_with_4401() {
    let served = Served::open().await;
    let key = served.office.key("a", Role::Client, &[]).await;
    let firsts = [
        Message::text(r#"{"type":"dance"}"#),
        Message::text("hello"),
        Message::text(r#"{"type":"auth"}"#),
        Message::binary(b"{}".to_vec()),
        Message::text(format!(
            r#"{{"type":"auth","token":"{}"}}"#,
            "x".repeat(17 * 1024)
        )),
    ];
    for first in firsts {
        let mut client = served.client().await;
        client.0.send(first).await.unwrap();
        assert_eq!(client.closed().await, 4401);
    }
    let mut client = served.client().await;
    client
        .say(json!({"type": "auth", "token": key.reveal()}))
        .await;
    client.say(json!({"type": "dance"})).await;
    assert_eq!(client.closed().await, 4400);
}
