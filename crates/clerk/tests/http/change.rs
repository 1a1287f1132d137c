//! Cancelling, retrying and deleting.

use axum::body::Body;
use axum::http::Request;
use clerkwork_broker::{Envelope, Headers};

use crate::support::Office;

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_a_repeat_changes_nothing() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}/cancel");
    let told = office.call("POST", &path).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["status"]),
        (200, &"cancelled".into())
    );
    assert!(told.json()["cancel_requested_at"].is_string());
    let again = office.call("POST", &path).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json(), told.json());
}

#[tokio::test]
async fn a_cancel_of_a_done_job_shows_its_output() {
    let office = Office::open().await;
    let _worker = office.echo();
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let wait = Request::get(&path).header("prefer", "wait=20");
    office.send(wait.body(Body::empty()).unwrap()).await;
    let told = office.call("POST", &format!("{path}/cancel")).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["output"]),
        (200, &1.into())
    );
    assert!(told.json()["cancel_requested_at"].is_null());
}

#[tokio::test]
async fn a_failed_job_is_retried_as_one_new_job_however_often_it_is_asked() {
    let office = Office::open().await;
    let worker = office.work(|_| {
        let mut headers = Headers::default();
        headers.set("outcome", "failed");
        Envelope {
            headers,
            body: "broken".into(),
            ..Envelope::default()
        }
    });
    let body = r#"{"queue":"q","input":[1],"max_attempts":1,"tags":["t"],"timeout_s":9}"#;
    let submit = crate::support::submission(body).header("prefer", "wait=20");
    let failed = office.send(submit.body(Body::from(body)).unwrap()).await;
    assert_eq!(
        (failed.status.as_u16(), &failed.json()["status"]),
        (200, &"failed".into())
    );
    drop(worker);
    let path = format!("/v1/jobs/{}", failed.id());
    let told = office.call("POST", &format!("{path}/retry")).await;
    assert_eq!(told.status, 202);
    assert_eq!(told.header("location"), format!("/v1/jobs/{}", told.id()));
    assert_eq!(told.json()["retry_of"], failed.json()["id"]);
    assert_eq!(told.json()["tags"], serde_json::json!(["t"]));
    let again = office.call("POST", &format!("{path}/retry")).await;
    assert_eq!((again.status.as_u16(), again.id()), (202, told.id()));
    assert_eq!(
        office.get(&path).await.json()["retried_as"],
        told.json()["id"]
    );
    let input = office.get(&format!("/v1/jobs/{}/input", told.id())).await;
    assert_eq!(input.body, "[1]");
}

#[tokio::test]
async fn what_is_not_done_or_succeeded_is_not_retried() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let told = office.call("POST", &format!("{path}/retry")).await;
    assert_eq!((told.status.as_u16(), &*told.problem()), (409, "not-done"));
    let _worker = office.echo();
    let wait = Request::get(&path).header("prefer", "wait=20");
    office.send(wait.body(Body::empty()).unwrap()).await;
    let told = office.call("POST", &format!("{path}/retry")).await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (409, "not-retryable")
    );
    assert_eq!(told.json()["job_status"], "succeeded");
}

#[tokio::test]
async fn only_a_done_job_is_deleted_and_then_it_was_never_there() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let told = office.call("DELETE", &path).await;
    assert_eq!((told.status.as_u16(), &*told.problem()), (409, "not-done"));
    office.call("POST", &format!("{path}/cancel")).await;
    let told = office.call("DELETE", &path).await;
    assert_eq!((told.status.as_u16(), told.body.len()), (204, 0));
    assert_eq!(office.call("DELETE", &path).await.status, 404);
    for (method, tail) in [
        ("GET", ""),
        ("GET", "/input"),
        ("GET", "/output"),
        ("GET", "/attempts"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ] {
        let told = office.call(method, &format!("{path}{tail}")).await;
        assert_eq!(told.status, 404, "{method} {tail}");
    }
    assert_eq!(
        office.get("/v1/jobs").await.json()["jobs"],
        serde_json::json!([])
    );
}
