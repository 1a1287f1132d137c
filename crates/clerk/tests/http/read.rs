//! Reading a job, its input, its output and its attempts.

use axum::body::{Body, Bytes};
use axum::http::Request;
use clerkwork_broker::Envelope;
use clerkwork_core::{Failure, Retry, event};
use serde_json::{Value, json};

use crate::hands::{Attempt, Hands};
use crate::support::{Office, Told};

async fn ask(office: &Office, path: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    office.send(request.body(Body::empty()).unwrap()).await
}

/// A job that runs, and who runs it.
async fn running(office: &Office) -> (String, Hands, Attempt) {
    let mut hands = office.hands().await;
    let id = office.job().await;
    let attempt = hands.take().await;
    hands.tell(&attempt, &[]).await;
    office.comes_to(&id, "running").await;
    (id, hands, attempt)
}

fn answer_of(media_type: &'static str, body: &'static str) -> Envelope {
    Envelope {
        content_type: Some(media_type.to_owned()),
        body: body.into(),
        ..Envelope::default()
    }
}

#[tokio::test]
async fn a_known_state_is_not_sent_again() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let told = office.get(&path).await;
    let etag = told.header("etag").to_owned();
    let same = ask(&office, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), etag);
    let other = ask(&office, &path, &[("if-none-match", "W/\"0\"")]).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_wait_for_change_ends_with_the_change_and_else_with_304() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let etag = office.get(&path).await.header("etag").to_owned();
    let headers = [("if-none-match", &*etag), ("prefer", "wait=1")];
    let same = ask(&office, &path, &headers).await;
    assert_eq!(
        (same.status.as_u16(), same.header("preference-applied")),
        (304, "wait=1")
    );
    let headers = [("if-none-match", &*etag), ("prefer", "wait=20")];
    let cancel = format!("{path}/cancel");
    let (changed, _) = tokio::join!(ask(&office, &path, &headers), office.call("POST", &cancel));
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["status"], "cancelled");
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test]
async fn a_wait_for_the_end_passes_over_other_changes() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let waiting = ask(&office, &path, &[("prefer", "wait=20")]);
    let work = async {
        office.somebody_waits().await;
        office.echo()
    };
    let (told, _worker) = tokio::join!(waiting, work);
    assert_eq!(told.json()["status"], "succeeded");
}

#[tokio::test]
async fn an_output_that_is_no_json_is_read_at_its_own_address_and_must_not_run_there() {
    let office = Office::open().await;
    let _worker = office.work(|_| Envelope {
        content_type: Some("text/html".to_owned()),
        body: "<script>".into(),
        ..Envelope::default()
    });
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}/output");
    let output = ask(&office, &path, &[("prefer", "wait=20")]).await;
    assert_eq!(
        (output.status.as_u16(), &output.body[..]),
        (200, &b"<script>"[..])
    );
    assert_eq!(output.header("content-type"), "text/html");
    assert_eq!(output.header("x-content-type-options"), "nosniff");
    assert_eq!(output.header("content-disposition"), "attachment");
    assert_eq!(output.header("content-security-policy"), "sandbox");
    let etag = output.header("etag").to_owned();
    assert_eq!(
        ask(&office, &path, &[("if-none-match", &etag)])
            .await
            .status,
        304
    );
    let job = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert!(job["output"].is_null());
    assert_eq!(
        (&job["output_omitted"], &job["output_size"]),
        (&false.into(), &8.into())
    );
}

#[tokio::test]
async fn what_a_worker_calls_its_output_adds_no_header_and_breaks_none() {
    let office = Office::open().await;
    let kinds = [
        "text/html\r\nX-Injected: 1",
        "a/b\n\n<script>",
        "\u{1b}[31m",
        "a/b\0",
        "ä/b",
        "",
    ];
    let kinds = std::sync::Mutex::new(kinds.into_iter());
    let _worker = office.work(move |body| Envelope {
        content_type: kinds.lock().unwrap().next().map(str::to_owned),
        body,
        ..Envelope::default()
    });
    for _ in 0..6 {
        let id = office.job().await;
        let path = format!("/v1/jobs/{id}");
        let job = ask(&office, &path, &[("prefer", "wait=15")]).await;
        assert_eq!(job.json()["done"], true, "{job:?}");
        let output = office.get(&format!("{path}/output")).await;
        assert!([200, 409].contains(&output.status.as_u16()), "{output:?}");
        assert!(!output.headers.contains_key("x-injected"));
        for value in output.headers.values() {
            assert!(
                !value.as_bytes().iter().any(u8::is_ascii_control),
                "{output:?}"
            );
        }
        if output.status == 200 {
            assert_eq!(output.header("content-disposition"), "attachment");
            assert_eq!(output.header("content-security-policy"), "sandbox");
        }
    }
}

#[tokio::test]
async fn an_output_that_is_not_there_says_whether_it_will_be() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}/output");
    let told = ask(&office, &path, &[("prefer", "wait=1")]).await;
    assert_eq!((told.status.as_u16(), &*told.problem()), (409, "not-done"));
    assert_eq!(told.json()["job_status"], "queued");
    assert_eq!(told.header("retry-after"), "1");
    office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
    let told = office.get(&path).await;
    assert_eq!((told.status.as_u16(), &*told.problem()), (409, "no-output"));
    assert_eq!(told.json()["job_status"], "cancelled");
}

#[tokio::test]
async fn attempts_are_those_that_a_worker_had_in_hand() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}/attempts");
    let attempts = async || office.get(&path).await.json()["attempts"].take();
    assert_eq!(attempts().await, json!([]));
    let mut hands = office.hands().await;
    let first = hands.take().await;
    hands.tell(&first, &[]).await;
    office.comes_to(&id, "running").await;
    let told = attempts().await;
    let started_at = told[0]["started_at"].clone();
    assert!(started_at.is_string());
    let one = json!({"attempt": 1, "worker": "hands", "started_at": started_at,
        "finished_at": null, "error": null});
    assert_eq!(told, json!([one]), "these members and no others");

    hands.answer(first, event::Reply::Returned, 0).await;
    let second = hands.take().await;
    hands.succeed(second, "7", 0).await;
    office.comes_to(&id, "succeeded").await;
    let both = attempts().await;
    assert_eq!(both.as_array().unwrap().len(), 2, "{both}");
    for (at, number) in [1, 2].into_iter().enumerate() {
        assert_eq!(both[at]["attempt"], number);
        assert!(both[at]["error"].is_null(), "given back is no failure");
        assert!(both[at]["finished_at"].is_string());
    }
}

#[tokio::test]
async fn what_a_worker_says_of_a_failure_is_the_error_of_the_job_and_of_the_attempt() {
    let office = Office::open().await;
    let (id, hands, attempt) = running(&office).await;
    let data = json!({"free": 0, "paths": ["/var"]});
    let mut failure = Failure::new("urn:example:disk-full", "no room for 7 MB".to_owned(), 1);
    failure.title = "The disk is full".to_owned();
    failure.data = Some(serde_json::value::to_raw_value(&data).unwrap());
    let retry = Retry::Never;
    hands
        .answer(attempt, event::Reply::Failed { failure, retry }, 0)
        .await;
    let job = office.comes_to(&id, "failed").await;
    let error = json!({"type": "urn:example:disk-full", "title": "The disk is full",
        "detail": "no room for 7 MB", "data": data, "attempt": 1});
    assert_eq!(job["error"], error, "and no status");
    assert!(job["output"].is_null() && job["output_type"].is_null());
    let attempts = office.get(&format!("/v1/jobs/{id}/attempts")).await.json();
    assert_eq!(attempts["attempts"][0]["error"], error);
}

#[tokio::test]
async fn a_note_says_why_nothing_happens_yet() {
    let office = Office::open().await;
    let id = office.job().await;
    let path = format!("/v1/jobs/{id}");
    let note = "no worker is connected to queue q";
    assert_eq!(office.get(&path).await.json()["note"], note);
    let mut hands = office.hands().await;
    let attempt = hands.take().await;
    let failed = event::Reply::Failed {
        failure: Failure::new(Failure::HANDLER_ERROR, "no room for 7 MB".to_owned(), 1),
        retry: Retry::AfterMs(100_000),
    };
    hands.answer(attempt, failed, 0).await;
    let job = office.comes_to(&id, "scheduled").await;
    let note = job["note"].as_str().unwrap();
    assert!(note.starts_with("retry in "), "{note}");
    assert!(note.ends_with(" s after: no room for 7 MB"), "{note}");
    let listed = office.get("/v1/jobs").await.json();
    let note = listed["jobs"][0]["note"].as_str().unwrap();
    assert!(
        note.starts_with("retry in ") && note.ends_with(" s"),
        "{note}"
    );
    let done = office.call("POST", &format!("{path}/cancel")).await.json();
    assert_eq!(
        (&done["note"], &done["error"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_job_that_was_never_seen_running_has_a_start_all_the_same() {
    let office = Office::open().await;
    let _worker = office.echo();
    let id = office.job().await;
    let job = office.comes_to(&id, "succeeded").await;
    assert!(job["started_at"].is_string(), "{job}");
    assert_eq!(job["attempt"], 1);
}

#[tokio::test]
async fn what_is_called_json_must_be_json_and_nothing_at_all_is_none() {
    let office = Office::open().await;
    for body in ["", "{", "1 2"] {
        let _worker = office.work(move |_| answer_of("application/json", body));
        let id = office.job().await;
        let job = office.comes_to(&id, "failed").await;
        let kind = "urn:clerkwork:problem:invalid-output";
        assert_eq!(job["error"]["type"], kind, "{body:?}");
        assert_eq!(job["attempt"], 1, "it is not tried again");
    }
}

#[tokio::test]
async fn an_output_may_be_empty() {
    let office = Office::open().await;
    let _worker = office.work(|_| answer_of("text/plain", ""));
    let id = office.job().await;
    let job = office.comes_to(&id, "succeeded").await;
    assert_eq!(
        (&job["output_type"], &job["output_size"]),
        (&json!("text/plain"), &json!(0))
    );
    let output = office.get(&format!("/v1/jobs/{id}/output")).await;
    assert_eq!((output.status.as_u16(), output.body.len()), (200, 0));
    assert_eq!(output.header("content-type"), "text/plain");
}

#[tokio::test]
async fn progress_is_no_change_of_state() {
    let office = Office::open().await;
    let (id, hands, attempt) = running(&office).await;
    let path = format!("/v1/jobs/{id}");
    let before = office.get(&path).await.header("etag").to_owned();
    let headers = [("if-none-match", &*before), ("prefer", "wait=1")];
    let progress = async {
        office.somebody_waits().await;
        hands.progress(&attempt, 1, 0.5).await;
        let told = |told: &Told| told.json()["progress"]["fraction"] == 0.5;
        office.until(&path, told).await
    };
    let (same, after) = tokio::join!(ask(&office, &path, &headers), progress);
    assert_eq!((same.status.as_u16(), same.header("etag")), (304, &*before));
    assert_eq!(after.header("etag"), before);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let office = Office::open().await;
    let id = office.job().await;
    for path in [
        format!("/v1/jobs/{id}"),
        format!("/v1/jobs/{id}/input"),
        "/v1/jobs".into(),
    ] {
        let (head, get) = (office.call("HEAD", &path).await, office.get(&path).await);
        assert_eq!(head.status, get.status);
        assert_eq!(head.body.len(), 0);
        assert_eq!(head.header("etag"), get.header("etag"));
        assert_eq!(head.header("content-length"), get.body.len().to_string());
    }
    assert_eq!(office.call("HEAD", "/v1/nothing").await.status, 404);
}

#[tokio::test]
async fn ids_that_name_nothing_are_all_alike() {
    let office = Office::open().await;
    let mut answers = Vec::new();
    for id in [
        "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69",
        "x",
        "%ff",
        "%00",
        "a1b2c3d4-0000-4000-8000-000000000000",
    ] {
        for tail in ["", "/input", "/output", "/attempts"] {
            let told = office.get(&format!("/v1/jobs/{id}{tail}")).await;
            assert_eq!(
                (told.status.as_u16(), &*told.problem()),
                (404, "not-found"),
                "{id}{tail}"
            );
            answers.push(told.json()["detail"].clone());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn json_is_json_whatever_parameters_its_media_type_has() {
    const KIND: &str = "Application/JSON; charset=utf-8";
    let office = Office::open().await;
    let _worker = office.work(|body| Envelope {
        content_type: Some(KIND.to_owned()),
        body: match &*body {
            b"0" => Bytes::from_static(b"{"),
            _ => body,
        },
        ..Envelope::default()
    });
    let ended = async |input: &str| {
        let body = format!(r#"{{"queue":"q","input":{input}}}"#);
        let id = office.submit(&body).await.id();
        ask(&office, &format!("/v1/jobs/{id}"), &[("prefer", "wait=20")]).await
    };
    let job = ended(r#"{"n":1.10}"#).await.json();
    assert_eq!(job["output"], serde_json::json!({"n": 1.1}));
    assert_eq!(job["output_type"], KIND);
    assert_eq!(job["output_omitted"], false);
    let read = office
        .get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap()))
        .await;
    assert_eq!(read.json()["output"], job["output"]);
    let job = ended("0").await.json();
    assert_eq!(job["status"], "failed");
    assert_eq!(job["error"]["type"], "urn:clerkwork:problem:invalid-output");
}
