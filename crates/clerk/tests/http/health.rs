//! Whether the process lives, and whether it can accept jobs.

use serde_json::json;

use crate::support::{Office, Told};

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
