//! Cancelling, retrying and deleting.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use clerkwork_broker::{Envelope, Headers};
use clerkwork_core::{Failure, Retry, UnixMs, event};
use serde_json::{Value, json};

use crate::support::{LIMIT, Office, Told, request, submission, with};

async fn post_and_wait(office: &Office, path: &str) -> Told {
    let post = with(request("POST", path, ""), "prefer", "wait=20");
    let told = office.send(post).await;
    assert_eq!(told.header("preference-applied"), "wait=20");
    told
}

fn moment(job: &Value, name: &str) -> UnixMs {
    job[name].as_str().unwrap().parse().unwrap()
}

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
    assert!(told.json()["error"].is_null(), "it did not fail");
}

#[tokio::test]
async fn a_cancel_of_a_running_job_is_202_and_whoever_waits_is_told_when_it_has_stopped() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let id = office.job().await;
    let attempt = hands.take().await;
    hands.tell(&attempt, &[]).await;
    office.comes_to(&id, "running").await;
    let path = format!("/v1/jobs/{id}/cancel");
    let told = office.call("POST", &path).await;
    let job = told.json();
    assert_eq!(
        (told.status.as_u16(), &job["status"]),
        (202, &"running".into())
    );
    assert!(job["cancel_requested_at"].is_string());
    assert_eq!(job["note"], "the worker was told to stop");
    assert_eq!(
        (told.header("retry-after"), &job["expires_at"]),
        ("1", &Value::Null)
    );
    let stop = async {
        office.somebody_waits().await;
        hands.answer(attempt, event::Reply::Cancelled, 0).await;
    };
    let (told, ()) = tokio::join!(post_and_wait(&office, &path), stop);
    let job = told.json();
    assert_eq!(
        (told.status.as_u16(), &job["status"]),
        (200, &"cancelled".into())
    );
    assert!(job["error"].is_null());
}

/// Until no cancel waits for the answer of its attempt.
async fn all_cancels_are_answered(office: &Office) {
    let desk = office.clerk.desk();
    let answered = async {
        while !desk.store.cancels(0, 10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.unwrap();
}

#[tokio::test]
async fn a_cancel_is_forgotten_however_its_attempt_is_answered() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let succeeded = event::Reply::Succeeded {
        media_type: "application/json".to_owned(),
        output: "1".into(),
    };
    let failed = event::Reply::Failed {
        failure: Failure::new("urn:test:late", "late".to_owned(), 1),
        retry: Retry::Policy,
    };
    for reply in [succeeded, failed, event::Reply::Cancelled] {
        let id = office.job().await;
        let attempt = hands.take().await;
        let told = office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
        // It had not started as far as anybody knew.
        assert_eq!(told.json()["status"], "cancelled");
        let desk = office.clerk.desk();
        assert_eq!(desk.store.cancels(0, 10).await.unwrap().len(), 1);
        hands.answer(attempt, reply, 0).await;
        all_cancels_are_answered(&office).await;
        office.comes_to(&id, "cancelled").await;
    }
}

#[tokio::test]
async fn a_record_is_kept_for_the_retention_after_its_end() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    assert_eq!(office.get(&path).await.json()["expires_at"], Value::Null);
    let job = office.call("POST", &format!("{path}/cancel")).await.json();
    let kept = moment(&job, "expires_at").since(moment(&job, "finished_at"));
    assert_eq!(kept.as_secs(), 7 * 24 * 3600);
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
async fn a_retry_has_every_field_of_the_original_but_its_delay() {
    let office = Office::open().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = r#"{"queue":"q","input":1,"tags":["t"],"webhook":"https://receiver.invalid/",
        "timeout_s":9,"start_within_s":77,"delay_s":1000,"max_attempts":7,"retry_delay_s":5}"#;
    let submit = submission(body).header("traceparent", parent);
    let original = office.send(submit.body(Body::from(body)).unwrap()).await;
    assert_eq!(original.json()["status"], "scheduled");
    let path = format!("/v1/jobs/{}", original.id());
    office.call("POST", &format!("{path}/cancel")).await;
    let retried = office.call("POST", &format!("{path}/retry")).await;
    let (one, other) = (original.json(), retried.json());
    for same in [
        "queue",
        "tags",
        "max_attempts",
        "input_type",
        "input_size",
        "trace_id",
    ] {
        assert_eq!(one[same], other[same], "{same}");
    }
    assert_eq!(one["webhook"]["url"], other["webhook"]["url"]);
    assert_eq!(other["due_at"], other["created_at"], "it is due at once");
    let sent = office.hands().await.take().await.sent();
    assert_eq!(sent.timeout_ms, 9_000);
    let start_within = sent.start_by.unwrap().since(moment(&other, "due_at"));
    assert_eq!(start_within.as_secs(), 77);
    assert_eq!(sent.trace.unwrap().parent, parent);
    let ids = [original.id(), retried.id()].map(|id| id.parse().unwrap());
    let kept = office.clerk.desk().store.get(None, &ids, 0).await.unwrap();
    let delays = kept.iter().map(|kept| kept.job.spec.retry_delay_s);
    assert_eq!(delays.collect::<Vec<_>>(), [5, 5]);
}

#[tokio::test]
async fn a_job_that_expired_is_retried_like_one_that_failed() {
    let office = Office::open().await;
    let queue = "q".parse().unwrap();
    assert!(
        office
            .clerk
            .desk()
            .queues
            .pause(&queue, true)
            .await
            .unwrap()
    );
    let body = r#"{"queue":"q","input":1,"start_within_s":1}"#;
    let id = office.submit(body).await.id();
    let expired = office.comes_to(&id, "expired").await;
    assert!(expired["error"].is_null() && expired["started_at"].is_null());
    let told = office.call("POST", &format!("/v1/jobs/{id}/retry")).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["retry_of"]),
        (202, &json!(id))
    );
}

#[tokio::test]
async fn a_retry_can_be_waited_for_and_a_repeat_is_answered_by_the_state_of_the_new_job() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    office.call("POST", &format!("{path}/cancel")).await;
    let _worker = office.echo();
    let retry = format!("{path}/retry");
    let told = post_and_wait(&office, &retry).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["output"]),
        (200, &json!(1))
    );
    let again = office.call("POST", &retry).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["output"]),
        (200, &json!(1))
    );
    assert_eq!(
        (again.id(), again.header("location")),
        (told.id(), told.header("location"))
    );
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
