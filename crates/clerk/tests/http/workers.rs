//! Who works.

use clerkwork_core::{Clock as _, Role};
use clerkwork_store::WorkerRow;
use serde_json::json;

use crate::support::{Office, Told, request, with_key};

async fn keep(office: &Office, id: &str, about: &str, seconds_ago: u64) {
    let desk = office.clerk.desk();
    let ago = std::time::Duration::from_secs(seconds_ago);
    let worker = WorkerRow {
        id: id.to_owned(),
        seq: 1,
        seen_at: desk.clock.now().before(ago),
        in_hand: vec![(office.job().await.parse().unwrap(), 1)],
        about: about.to_owned(),
    };
    desk.store.keep_workers(&[worker]).await.unwrap();
}

#[tokio::test]
async fn workers_that_were_lately_heard_from_are_listed_as_they_said() {
    let office = Office::open().await;
    assert_eq!(
        office.get("/v1/workers").await.json(),
        json!({"workers": []})
    );
    let about = r#"{"id":"w1","host":"m1","pid":7,"sdk":"rust","version":"0.1.0","control":"c",
        "does":["cancel"],"queues":{"a":2,"b":1},"draining":true,"later":"added"}"#;
    keep(&office, "w1", about, 1).await;
    keep(&office, "w2", about, 91).await;
    let told = office.get("/v1/workers").await.json();
    let workers = told["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1);
    let mut worker = workers[0].clone();
    let seen = worker["last_seen_at"].take();
    assert!(seen.as_str().unwrap().ends_with('Z'), "{seen}");
    let expected = json!({"id": "w1", "host": "m1", "pid": 7, "sdk": "rust", "version": "0.1.0",
        "queues": ["a", "b"], "running": 0, "last_seen_at": null, "draining": true});
    assert_eq!(worker, expected, "what is in hand unstarted does not run");
}

#[tokio::test]
async fn an_operator_whose_key_has_queues_sees_the_workers_of_these_and_nothing_of_others() {
    let office = Office::open().await;
    let about = |id: &str, queues: &str| {
        format!(
            r#"{{"id":"{id}","host":"m1","pid":7,"sdk":"rust","version":"0.1.0","control":"c",
            "does":["cancel"],"queues":{queues},"draining":false}}"#
        )
    };
    keep(&office, "w1", &about("w1", r#"{"a":2,"b":1}"#), 1).await;
    keep(&office, "w2", &about("w2", r#"{"b":1}"#), 1).await;
    let key = office.key("a", Role::Operator, &["a", "c"]).await;
    let list = with_key(request("GET", "/v1/workers", ""), &key.reveal());
    let told = office.send(list).await.json();
    let workers = told["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "{told}");
    assert_eq!(
        (&workers[0]["id"], &workers[0]["queues"]),
        (&json!("w1"), &json!(["a"]))
    );
}

#[tokio::test]
async fn a_queue_that_a_full_worker_serves_is_known_and_stays_known_when_the_worker_is_gone() {
    let office = Office::with(|config| config.lease = std::time::Duration::from_secs(2)).await;
    let body = r#"{"queue":"new","input":1}"#;
    assert_eq!(office.submit(body).await.problem(), "unknown-queue");
    let hands = office.hands().await;
    hands.serves(&["new", "Not A Name"]).await;
    let served = |told: &Told| told.status == 200 && told.json()["workers"] == 1;
    office.until("/v1/queues/new", served).await;
    assert_eq!(office.submit(body).await.status, 202);
    // It says nothing any more, and counts no longer.
    let alone = |told: &Told| told.json()["workers"] == 0;
    office.until("/v1/queues/new", alone).await;
    let job = office.submit(body).await;
    assert_eq!(job.status, 202);
    assert_eq!(job.json()["note"], "no worker is connected to queue new");
    let kept = office.clerk.desk().store.queues().await.unwrap();
    let names: Vec<_> = kept.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["new", "q"], "other clerks know it too");
}
