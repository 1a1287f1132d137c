//! Outputs that ask much of a clerk: large ones, and those whose media type is none.

use axum::body::Body;
use axum::http::{Request, Response};
use clerkwork_broker::Envelope;
use tower::ServiceExt as _;

use crate::support::{Office, request, submission, with};

/// Sixteen of these are all that a client may have on their way where no input or output is larger.
const SIZE: usize = 1_000_000;

fn small(config: &mut clerkwork_clerk::Config) {
    config.max_input = SIZE;
    config.max_output = SIZE;
}

fn output(number: usize) -> String {
    let digits = number.to_string();
    format!("\"{}{digits}\"", "x".repeat(SIZE - 2 - digits.len()))
}

impl Office {
    /// The answer, of which nothing was read.
    async fn unread(&self, path: &str) -> Response<Body> {
        let answer = self.router.clone().oneshot(request("GET", path, ""));
        answer.await.unwrap()
    }

    /// Jobs that are done, each with an output of its own.
    async fn large(&self, count: usize) -> Vec<String> {
        let _worker = self.work(|body| {
            let number = std::str::from_utf8(&body).unwrap().parse().unwrap();
            Envelope {
                content_type: Some("application/json".to_owned()),
                body: output(number).into(),
                ..Envelope::default()
            }
        });
        let mut ids = Vec::new();
        for number in 0..count {
            let body = format!(r#"{{"queue":"q","input":{number}}}"#);
            let submit = submission(&body).body(Body::from(body)).unwrap();
            let told = self.send(with(submit, "prefer", "wait=40")).await;
            assert_eq!(told.json()["output"].as_str().unwrap().len(), SIZE - 2);
            ids.push(told.id());
        }
        ids
    }
}

#[tokio::test]
async fn a_large_output_is_shown_whole_wherever_its_job_is() {
    let office = Office::with(small).await;
    let ids = office.large(2).await;
    let path = format!("/v1/jobs/{}", ids[1]);
    let shown = office.get(&path).await;
    assert_eq!(shown.body.len().to_string(), shown.header("content-length"));
    let job = shown.json();
    assert_eq!(
        (job["output_omitted"] == false, job["done"] == true),
        (true, true)
    );
    assert_eq!(job["output"].to_string(), output(1));
    let bytes = office.get(&format!("{path}/output")).await;
    assert_eq!(bytes.body, output(1));
    let known = request("GET", &format!("{path}/output"), "");
    let known = with(known, "if-none-match", bytes.header("etag"));
    assert_eq!(office.send(known).await.status, 304);
    let cancelled = office.call("POST", &format!("{path}/cancel")).await;
    assert_eq!(cancelled.json()["output"].to_string(), output(1));
}

#[tokio::test]
async fn outputs_that_nobody_reads_are_bounded_and_one_of_many_readers_is_one() {
    let office = Office::with(small).await;
    let ids = office.large(17).await;
    let path = |at: usize| format!("/v1/jobs/{}/output", ids[at]);
    let mut unread = Vec::new();
    for at in 0..16 {
        unread.push(office.unread(&path(at)).await);
    }
    for _ in 0..200 {
        unread.push(office.unread(&path(7)).await);
        unread.push(office.unread(&format!("/v1/jobs/{}", ids[7])).await);
    }
    assert!(unread.iter().all(|answer| answer.status() == 200));
    let (bytes, job) = (path(16), format!("/v1/jobs/{}", ids[16]));
    let (one, whole) = tokio::join!(office.get(&bytes), office.get(&job));
    let (first, second) = if one.status == 429 {
        (one, whole)
    } else {
        (whole, one)
    };
    assert_eq!(first.status, 429, "{first:?}");
    assert_eq!(first.json()["violated-policies"][0], "bytes-in-flight");
    // It waits for the other's try before its own.
    assert!([429, 503].contains(&second.status.as_u16()), "{second:?}");
    // What was done is told all the same.
    let cancel = Request::post(format!("/v1/jobs/{}/cancel", ids[16]));
    let told = office.send(cancel.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["output_omitted"]),
        (200, &true.into())
    );
    drop(unread);
    assert_eq!(office.get(&path(16)).await.body, output(16));
}

#[tokio::test]
async fn a_media_type_that_only_begins_like_json_is_an_invalid_output() {
    let office = Office::open().await;
    let kinds = ["application/json; a=\u{1b}[31m", "application/json; a=ä"];
    let kinds = kinds.map(str::to_owned);
    let count = kinds.len();
    let kinds = std::sync::Mutex::new(kinds.into_iter());
    let _worker = office.work(move |body| Envelope {
        content_type: kinds.lock().unwrap().next(),
        body,
        ..Envelope::default()
    });
    for _ in 0..count {
        let id = office.job().await;
        let job = office.comes_to(&id, "failed").await;
        let kind = "urn:clerkwork:problem:invalid-output";
        assert_eq!(job["error"]["type"], kind, "{job}");
        assert!(job["output_type"].is_null(), "{job}");
    }
}
