//! What an idempotency key may be, and whose it is.

use axum::body::Body;
use axum::http::HeaderValue;
use clerkwork_core::{ApiKey, Role};
use serde_json::json;

use crate::support::{Office, Told, submission, with_key};

async fn keyed(office: &Office, key: &[u8], input: u32, holder: Option<&ApiKey>) -> Told {
    let body = format!(r#"{{"queue":"q","input":{input}}}"#);
    let value = HeaderValue::from_bytes(key).unwrap();
    let request = submission(&body).header("idempotency-key", value);
    let request = request.body(Body::from(body)).unwrap();
    office
        .send(match holder {
            Some(holder) => with_key(request, &holder.reveal()),
            None => request,
        })
        .await
}

#[tokio::test]
async fn a_key_that_is_too_long_or_could_be_written_in_two_ways_is_refused_and_claims_nothing() {
    let office = Office::open().await;
    let long = |length: usize| "k".repeat(length).into_bytes();
    for bad in [
        long(256),
        long(300),
        long(9_000),
        "caf\u{e9}".into(),
        "cafe\u{301}".into(),
        b"caf\xe9".into(),
        "\u{ff4b}ey".into(),
        "ke\u{200b}y".into(),
        "\"caf\u{e9}\"".into(),
        b"a key".into(),
        b"a\tkey".into(),
    ] {
        let told = keyed(&office, &bad, 1, None).await;
        assert_eq!(told.problem(), "malformed-request", "{bad:?}: {told:?}");
    }
    let jobs = office.get("/v1/jobs").await.json();
    assert_eq!(jobs["jobs"], json!([]));
    let longest = keyed(&office, &long(255), 1, None).await;
    assert_eq!(longest.status, 202);
    let again = keyed(&office, &long(255), 1, None).await;
    assert_eq!(again.id(), longest.id());
}

#[tokio::test]
async fn keys_that_only_look_alike_are_different_keys() {
    let office = Office::open().await;
    let mut ids = std::collections::BTreeSet::new();
    let keys = [
        "key",
        "Key",
        "KEY",
        "key.",
        "k%65y",
        "caf%C3%A9",
        "cafe%CC%81",
        "'key'",
    ];
    for key in keys {
        let told = keyed(&office, key.as_bytes(), 1, None).await;
        assert_eq!(told.header("idempotency-replayed"), "", "{key}");
        ids.insert(told.id());
    }
    assert_eq!(ids.len(), keys.len());
}

#[tokio::test]
async fn a_key_says_nothing_of_what_another_tenant_did_under_it() {
    let office = Office::open().await;
    let (mine, theirs) = (
        office.key("mine", Role::Client, &[]).await,
        office.key("theirs", Role::Operator, &[]).await,
    );
    let own = keyed(&office, b"order-42", 1, Some(&mine)).await;
    // With other words the same tenant would be told that the key is used.
    let reused = keyed(&office, b"order-42", 2, Some(&mine)).await;
    assert_eq!(reused.problem(), "idempotency-key-reused");
    for input in [2, 2] {
        let other = keyed(&office, b"order-42", input, Some(&theirs)).await;
        assert_eq!(other.status, 202, "{other:?}");
        assert_ne!(other.id(), own.id());
        assert_eq!(other.json()["input_size"], 1);
    }
}
