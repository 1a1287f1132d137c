//! A job's webhook: what is accepted, what is shown of it, and sending it again.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::Office;

async fn with_webhook(office: &Office, url: &str) -> Value {
    let body = json!({"queue": "q", "input": 1, "webhook": url}).to_string();
    let told = office.submit(&body).await;
    assert_eq!(told.status, 202, "{told:?}");
    told.json()
}

#[tokio::test]
async fn a_webhook_waits_until_its_job_is_done_and_is_pending_then() {
    let office = Office::open().await;
    // Nobody answers there: the name is reserved never to exist.
    let url = "https://receiver.invalid/hook?a=b";
    let job = with_webhook(&office, url).await;
    let waiting = json!({"url": url, "status": "waiting", "attempts": 0, "last_status": null,
        "next_attempt_at": null});
    assert_eq!(job["webhook"], waiting);
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(office.get(&path).await.json()["webhook"], waiting);
    let listed = office.get("/v1/jobs").await.json();
    assert_eq!(listed["jobs"][0]["webhook"], waiting);
    let redeliver = office.call("POST", &format!("{path}/redeliver")).await;
    assert_eq!(
        (redeliver.status.as_u16(), &*redeliver.problem()),
        (409, "not-done")
    );

    office.call("POST", &format!("{path}/cancel")).await;
    let done = office.get(&path).await;
    assert_eq!(done.json()["webhook"]["status"], "pending");
    assert!(done.json()["webhook"]["next_attempt_at"].is_string());
    let told = office.call("POST", &format!("{path}/redeliver")).await;
    assert_eq!(told.status, 202);
    assert_eq!(told.json()["webhook"]["status"], "pending");
    assert_eq!(told.json()["id"], job["id"]);
    let again = office.call("POST", &format!("{path}/redeliver")).await;
    assert_eq!(again.status, 202);
    let etag = office.get(&path).await.header("etag").to_owned();
    assert_eq!(etag, done.header("etag"), "its fate makes no new revision");

    let retried = office.call("POST", &format!("{path}/retry")).await;
    assert_eq!(retried.json()["webhook"]["url"], url, "a retry has it too");
    assert_eq!(retried.json()["webhook"]["status"], "waiting");
}

#[tokio::test]
async fn a_job_shows_what_became_of_its_webhook() {
    let office = Office::with(|config| {
        config.webhook_allow = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |Path(status): Path<u16>| StatusCode::from_u16(status).unwrap();
    let receiver = Router::new().route("/{status}", post(answer));
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    for (answer, status) in [(204, "delivered"), (410, "stopped"), (500, "pending")] {
        let url = format!("http://{address}/{answer}");
        let job = with_webhook(&office, &url).await;
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        office.call("POST", &format!("{path}/cancel")).await;
        let tried = office.until(&path, |told| told.json()["webhook"]["attempts"] == 1);
        let mut webhook = tried.await.json()["webhook"].take();
        let next = webhook["next_attempt_at"].take();
        assert_eq!(next.is_string(), status == "pending", "{next}");
        let shown = json!({"url": url, "status": status, "attempts": 1, "last_status": answer,
            "next_attempt_at": null});
        assert_eq!(webhook, shown);
    }
}

#[tokio::test]
async fn a_job_without_a_webhook_has_none_to_send_again() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    office.call("POST", &format!("{path}/cancel")).await;
    let told = office.call("POST", &format!("{path}/redeliver")).await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (409, "no-webhook")
    );
    assert_eq!(told.json()["job_status"], "cancelled");
}

#[tokio::test]
async fn a_webhook_that_may_not_be_called_is_refused_at_submission() {
    let office = Office::open().await;
    for webhook in [
        json!("http://example.com/"),
        json!("https://127.1/"),
        json!("https://[::ffff:10.0.0.1]/"),
        json!("https://user@example.com/"),
        json!("https://example.com:22/"),
        json!(format!("https://example.com/{}", "a".repeat(2_048))),
        json!("nonsense"),
        json!(7),
    ] {
        let body = json!({"queue": "q", "input": 1, "webhook": webhook}).to_string();
        let told = office.submit(&body).await;
        assert_eq!(told.status, 422, "{body}");
        assert_eq!(told.pointers(), ["/webhook"], "{body}");
    }
    let inside = Office::with(|config| {
        config.webhook_allow = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    with_webhook(&inside, "http://127.0.0.1:9/hook").await;
    let refused = json!({"queue": "q", "input": 1, "webhook": "http://10.0.0.1/"}).to_string();
    assert_eq!(inside.submit(&refused).await.status, 422);
}
