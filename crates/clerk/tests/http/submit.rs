//! Submitting a job.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::forms::{INPUT_PART, JOB_PART, Pipe as _, form};
use crate::support::{Office, Told, request, submission};

const JOB: &str = r#"{"queue":"q","input":{"n":1}}"#;

async fn with(office: &Office, name: &str, value: &str) -> Told {
    let request = submission(JOB).header(name, value);
    office.send(request.body(Body::from(JOB)).unwrap()).await
}

#[tokio::test]
async fn an_accepted_job_is_shown_whole_with_its_place() {
    let office = Office::open().await;
    let told = office
        .submit(r#"{"queue":"q","input":{"n":1},"tags":["a","b","a"]}"#)
        .await;
    assert_eq!(told.status, 202);
    let job = told.json();
    assert_eq!(told.header("location"), format!("/v1/jobs/{}", told.id()));
    assert_eq!(told.header("retry-after"), "1");
    assert!(told.header("etag").starts_with("W/\""));
    assert_eq!(told.header("preference-applied"), "");
    assert_eq!(job["status"], "queued");
    assert_eq!(job["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(job["input_size"], 7);
    assert_eq!(job["max_attempts"], 3);
    for absent in ["output", "error", "webhook", "retry_of"] {
        assert!(job.as_object().unwrap()[absent].is_null(), "{absent}");
    }
    assert!(job["watch_url"].is_string());
}

#[tokio::test]
async fn a_delayed_job_is_scheduled_and_says_when_to_ask_again() {
    let office = Office::open().await;
    let told = office
        .submit(r#"{"queue":"q","input":1,"delay_s":200}"#)
        .await;
    assert_eq!(told.json()["status"], "scheduled");
    let seconds: u64 = told.header("retry-after").parse().unwrap();
    assert!((100..=200).contains(&seconds), "{seconds}");
    assert!(told.json()["note"].as_str().unwrap().starts_with("due in "));
    assert_eq!(told.json()["attempt"], 0, "it was not given out yet");
}

#[tokio::test]
async fn a_waiting_submission_gets_the_output() {
    let office = Office::open().await;
    let _worker = office.echo();
    let told = with(&office, "prefer", "wait=15").await;
    assert_eq!(told.status, 200);
    assert_eq!(told.header("preference-applied"), "wait=15");
    assert_eq!(told.header("retry-after"), "");
    let job = told.json();
    assert_eq!(job["status"], "succeeded");
    assert_eq!(job["output"], serde_json::json!({"n": 1}));
    assert_eq!(job["output_omitted"], false);
}

#[tokio::test]
async fn a_wait_is_lowered_to_the_most_and_what_was_not_used_is_not_told() {
    let office = Office::with(|config| config.wait_max = Duration::from_secs(1)).await;
    for wanted in ["wait=600", "wait"] {
        let told = with(&office, "prefer", wanted).await;
        assert_eq!(told.status, 202);
        assert_eq!(told.header("preference-applied"), "wait=1", "{wanted}");
    }
    for ignored in ["wait=0", "wait=soon", "respond-async"] {
        let told = with(&office, "prefer", ignored).await;
        assert_eq!(told.status, 202);
        assert_eq!(told.headers.get("preference-applied"), None, "{ignored}");
    }
}

#[tokio::test]
async fn a_wait_that_ends_first_is_answered_with_the_job_as_it_is() {
    let office = Office::open().await;
    let told = with(&office, "prefer", "respond-async, wait=1").await;
    assert_eq!(told.status, 202);
    assert_eq!(told.header("preference-applied"), "wait=1");
    assert_eq!(told.header("retry-after"), "1");
}

#[tokio::test]
async fn beyond_the_most_held_requests_the_answer_comes_at_once() {
    let office = Office::with(|config| config.held_max = 0).await;
    let told = with(&office, "prefer", "wait=20").await;
    assert_eq!(told.status, 202);
    assert_eq!(told.header("preference-applied"), "wait=0");
}

#[tokio::test]
async fn bytes_come_as_a_form_of_two_parts_and_keep_their_type() {
    let office = Office::open().await;
    let told = office.send(form(&[JOB_PART, INPUT_PART])).await;
    assert_eq!(told.status, 202, "{told:?}");
    assert_eq!(told.json()["input_type"], "image/png");
    let input = office.get(&format!("/v1/jobs/{}/input", told.id())).await;
    assert_eq!(input.header("content-type"), "image/png");
    assert_eq!(&input.body[..], b"\x00\r\n--b\r\nbytes");
    // Whatever it is, it must not run on our origin.
    assert_eq!(input.header("x-content-type-options"), "nosniff");
    assert_eq!(input.header("content-disposition"), "attachment");
    assert_eq!(input.header("content-security-policy"), "sandbox");
    let untyped = office
        .send(form(&[JOB_PART, "name=\"input\"\r\n\r\nx"]))
        .await;
    assert_eq!(untyped.json()["input_type"], "application/octet-stream");
}

#[tokio::test]
async fn a_form_of_other_parts_does_not_fit() {
    let office = Office::open().await;
    let wrong: [&[&str]; 5] = [
        &[JOB_PART],
        &[INPUT_PART, JOB_PART],
        &[JOB_PART, INPUT_PART, INPUT_PART],
        &[JOB_PART, JOB_PART],
        &[
            "name=\"job\"\r\n\r\n{\"queue\":\"q\",\"input\":1}",
            INPUT_PART,
        ],
    ];
    for parts in wrong {
        let told = office.send(form(parts)).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (422, "invalid-request"),
            "{parts:?}"
        );
    }
    let cut = Request::post("/v1/jobs").header("content-type", "multipart/form-data; boundary=xyz");
    let told =
        office.send("--xyz\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{".pipe(cut));
    assert_eq!(told.await.status, 400);
    let unbound = Request::post("/v1/jobs").header("content-type", "multipart/form-data");
    assert_eq!(office.send("x".pipe(unbound)).await.status, 400);
}

#[tokio::test]
async fn an_input_reaches_the_record_byte_for_byte() {
    let office = Office::open().await;
    let input =
        r#"{"a":1, "a":123456789012345678901234567890,"z":"\u0000\ud83d\ude00" ,"e":1e400}"#;
    let told = office
        .submit(&format!(" {{\"input\" :  {input}\n,\"queue\":\"q\"}} "))
        .await;
    assert_eq!(told.status, 202);
    let kept = office.get(&format!("/v1/jobs/{}/input", told.id())).await;
    assert_eq!(kept.body, input);
    assert_eq!(kept.header("content-type"), "application/json");
}

#[tokio::test]
async fn the_input_alone_is_measured() {
    let office = Office::with(|config| config.max_input = 100).await;
    let of = |size: usize| format!(r#"{{"queue":"q","input":"{}"}}"#, "x".repeat(size - 2));
    assert_eq!(office.submit(&of(100)).await.status, 202);
    for size in [101, 100_000] {
        let told = office.submit(&of(size)).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (413, "content-too-large")
        );
        assert_eq!(told.json()["limit_bytes"], 100);
    }
}

#[tokio::test]
async fn a_trace_is_continued_to_the_worker_and_a_broken_one_begun_anew() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = submission(JOB)
        .header("traceparent", parent)
        .header("tracestate", "a=1,b=2");
    let told = office.send(traced.body(Body::from(JOB)).unwrap()).await;
    assert_eq!(told.json()["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let sent = hands.take().await.sent().trace.unwrap();
    assert_eq!(sent.parent, parent);
    assert_eq!(sent.state.as_deref(), Some("a=1,b=2"));

    let told = with(&office, "traceparent", "nonsense").await;
    let trace = told.json()["trace_id"].as_str().unwrap().to_owned();
    assert_eq!(trace.len(), 32);
    let sent = hands.take().await.sent().trace.unwrap();
    assert!(sent.parent.starts_with(&format!("00-{trace}-")), "{sent:?}");
}

#[tokio::test]
async fn a_job_without_a_trace_of_its_client_has_one_of_its_own() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let mut traces = std::collections::HashSet::new();
    for _ in 0..2 {
        let told = office.submit(JOB).await;
        let trace = told.json()["trace_id"].as_str().unwrap().to_owned();
        let sent = hands.take().await.sent().trace.unwrap().parent;
        assert_eq!(sent.len(), 55);
        assert!(sent.starts_with(&format!("00-{trace}-")), "{sent}");
        assert!(traces.insert(trace));
    }
}

#[tokio::test]
async fn what_is_not_asked_for_has_its_default() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let job = office.submit(r#"{"queue":"q","input":1}"#).await.json();
    assert_eq!(job["max_attempts"], 3);
    assert_eq!(
        (&job["tags"], &job["webhook"]),
        (&serde_json::json!([]), &Value::Null)
    );
    assert_eq!(job["due_at"], job["created_at"]);
    let sent = hands.take().await.sent();
    assert_eq!((sent.timeout_ms, sent.start_by), (600_000, None));
    let id = job["id"].as_str().unwrap().parse().unwrap();
    let kept = office.clerk.desk().store.get(None, &[id], 0).await.unwrap();
    assert_eq!(kept[0].job.spec.retry_delay_s, 1);
}

#[tokio::test]
async fn a_draining_clerk_is_not_ready_and_answers_those_who_wait_or_still_come() {
    let office = Office::open().await;
    let waiting = with(&office, "prefer", "wait=20");
    let drain = async {
        office.somebody_waits().await;
        office.clerk.desk().draining.cancel();
    };
    let (told, ()) = tokio::join!(waiting, drain);
    assert_eq!(
        (told.status.as_u16(), told.header("retry-after")),
        (202, "1")
    );
    let late = with(&office, "prefer", "wait=20").await;
    assert_eq!(
        (late.status.as_u16(), late.header("retry-after")),
        (202, "1")
    );
    let told = office.get("/readyz").await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (503, "unavailable")
    );
    assert_eq!(
        office.send(request("GET", "/healthz", "")).await.status,
        200
    );
}
