//! Whether the process lives, and whether it can accept jobs.

use serde_json::json;

use crate::support::{Office, Told};

#[tokio::test]
async fn the_bare_address_says_what_it_is() {
    let office = Office::open().await;
    let told = office.get("/").await;
    assert_eq!(told.status, 200);
    assert_eq!(told.header("content-type"), "text/plain; charset=utf-8");
    let text = String::from_utf8(told.body.to_vec()).unwrap();
    assert!(text.contains("/v1/jobs"), "{text}");
    for path in ["/docs", "/openapi.json", "/healthz", "/readyz"] {
        assert!(text.contains(path), "{path}");
        assert_ne!(office.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_clerk_is_ready_while_its_store_answers_and_names_what_does() {
    let office = Office::open().await;
    // It has to hear from the store once.
    let ready = office.until("/readyz", |told| told.status == 200).await;
    let told = ready.json();
    assert_eq!(
        (&told["store"], &told["broker"]),
        (&json!("up"), &json!("up"))
    );
    assert!(told["store_seen_at"].is_string(), "{told}");
    // A message of its own comes round every few seconds.
    let second = |told: &Told| {
        let json = told.json();
        let at = json["broker_seen_at"].as_str().unwrap_or_default();
        at.split('.').next().unwrap_or_default().to_owned()
    };
    let first = office
        .until("/readyz", |told| !second(told).is_empty())
        .await;
    let first = second(&first);
    office.until("/readyz", |told| second(told) > first).await;
    let alive = office.get("/healthz").await;
    assert_eq!(
        (alive.status.as_u16(), alive.json()),
        (200, json!({"status": "alive"}))
    );
    office.clerk.desk().draining.cancel();
    let told = office.get("/readyz").await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (503, "unavailable")
    );
    assert_eq!(told.header("retry-after"), "2");
    let up = json!("up");
    let (store, broker) = (&told.json()["store"], &told.json()["broker"]);
    assert_eq!((store, broker), (&up, &up), "neither is why");
    assert_eq!(office.get("/healthz").await.status, 200);
}
