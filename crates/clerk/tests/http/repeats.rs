//! Repeats: the same words under one key are one job, and nothing else is.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use clerkwork_clerk::Config;
use serde_json::json;

use crate::forms::{INPUT_PART, JOB_PART, form, form_between};
use crate::support::{LIMIT, Office, Told, request, submission, with};

const JOB: &str = r#"{"queue":"q","input":{"n":1}}"#;

fn keyed(request: Request<Body>, key: &str) -> Request<Body> {
    with(request, "idempotency-key", key)
}

async fn submit(office: &Office, body: &str, key: &str) -> Told {
    let request = submission(body).body(Body::from(body.to_owned()));
    office.send(keyed(request.unwrap(), key)).await
}

fn is_new(told: &Told) {
    let replayed = told.header("idempotency-replayed");
    assert_eq!((told.status.as_u16(), replayed), (202, ""), "{told:?}");
}

fn is_replay(told: &Told, of: &Told) {
    assert_eq!(told.header("idempotency-replayed"), "true", "{told:?}");
    assert_eq!(told.id(), of.id());
}

fn is_reused(told: &Told) {
    let kind = told.problem();
    assert_eq!(
        (told.status.as_u16(), &*kind),
        (422, "idempotency-key-reused"),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_same_key_in_the_same_words_is_the_same_job() {
    let office = Office::open().await;
    let first = submit(&office, JOB, "order-42").await;
    is_new(&first);
    let again = submit(&office, JOB, "\"order-42\"").await;
    is_replay(&again, &first);
    assert_eq!(again.status, 202);
    for same in ["location", "etag"] {
        assert_eq!(again.header(same), first.header(same));
        assert!(!again.header(same).is_empty(), "{same}");
    }
    is_reused(&submit(&office, r#"{"queue":"q","input":{"n":2}}"#, "order-42").await);
    // By now the job is done, and whoever repeats may wait as whoever was first.
    let _worker = office.echo();
    let request = submission(JOB).header("prefer", "wait=20").body(JOB.into());
    let done = office.send(keyed(request.unwrap(), "order-42")).await;
    is_replay(&done, &first);
    assert_eq!(
        (done.status.as_u16(), done.header("preference-applied")),
        (200, "wait=20")
    );
    assert_eq!(done.json()["output"], json!({"n": 1}));
    assert_eq!(submit(&office, JOB, "order-42").await.status, 200);
}

#[tokio::test]
async fn a_key_stands_for_the_bytes_and_not_for_the_headers_or_the_boundary() {
    let office = Office::open().await;
    let first = submit(&office, JOB, "json").await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value) in [
        ("traceparent", parent),
        ("prefer", "wait=0"),
        ("user-agent", "x"),
    ] {
        let request = submission(JOB).header(name, value).body(JOB.into());
        is_replay(&office.send(keyed(request.unwrap(), "json")).await, &first);
    }
    let spaced = JOB.replace(':', ": ");
    is_reused(&submit(&office, &spaced, "json").await);

    let parts = [JOB_PART, INPUT_PART];
    let first = office.send(keyed(form(&parts), "form")).await;
    is_new(&first);
    let other = form_between("quite-another", &parts);
    is_replay(&office.send(keyed(other, "form")).await, &first);
    let named = INPUT_PART.replace("x.png", "y.png");
    is_replay(
        &office.send(keyed(form(&[JOB_PART, &named]), "form")).await,
        &first,
    );
    for changed in [
        [JOB_PART, &INPUT_PART.replace("image/png", "image/gif")],
        [JOB_PART, &INPUT_PART.replace("bytes", "byteS")],
        [&JOB_PART.replace(":1}", ": 1}"), INPUT_PART],
    ] {
        is_reused(&office.send(keyed(form(&changed), "form")).await);
    }
}

#[tokio::test]
async fn a_key_of_a_batch_is_none_of_a_single_job_and_the_other_way_round() {
    let office = Office::open().await;
    let batch = async |key: &str| {
        let body = format!(r#"{{"jobs":[{JOB}]}}"#);
        let request = request("POST", "/v1/jobs/batch", &body);
        let request = with(request, "content-type", "application/json");
        office.send(keyed(request, key)).await
    };
    is_new(&submit(&office, JOB, "single").await);
    is_reused(&batch("single").await);
    is_new(&batch("batch").await);
    is_reused(&submit(&office, JOB, "batch").await);
}

#[tokio::test]
async fn a_key_whose_job_was_deleted_is_used_up() {
    let office = Office::open().await;
    let path = format!("/v1/jobs/{}", submit(&office, JOB, "k").await.id());
    office.call("POST", &format!("{path}/cancel")).await;
    assert_eq!(office.call("DELETE", &path).await.status, 204);
    is_reused(&submit(&office, JOB, "k").await);
}

#[tokio::test]
async fn a_refused_submission_claims_no_key() {
    let office = Office::with(|config| config.max_input = 100).await;
    let large = format!(r#"{{"queue":"q","input":"{}"}}"#, "x".repeat(100));
    for (body, status) in [
        ("{", 400),
        (r#"{"queue":"nobody","input":1}"#, 404),
        (large.as_str(), 413),
        (r#"{"queue":"q","input":1,"timeout_s":0}"#, 422),
    ] {
        assert_eq!(submit(&office, body, "k").await.status, status, "{body}");
    }
    is_new(&submit(&office, JOB, "k").await);
}

#[tokio::test]
async fn a_submission_for_which_there_was_no_room_claims_no_key() {
    let tenant = |config: &mut Config| config.max_unfinished = Some(1);
    let queue = |config: &mut Config| config.queue_cap = Some(1);
    let rate = |config: &mut Config| config.rate_submit = Some(1);
    for (office, full, kind) in [
        (Office::with(tenant).await, 429, "quota-exceeded"),
        (Office::with(queue).await, 503, "queue-full"),
        (Office::with(rate).await, 429, "quota-exceeded"),
    ] {
        let id = office.job().await;
        let begun = Instant::now();
        let (mut key, mut refused) = (0, submit(&office, JOB, "k0").await);
        // A rate lets another one through where this machine is slow.
        while refused.status == 202 && begun.elapsed() < LIMIT {
            key += 1;
            refused = submit(&office, JOB, &format!("k{key}")).await;
        }
        assert_eq!(refused.status, full, "{refused:?}");
        assert!(refused.problem().ends_with(kind), "{refused:?}");
        assert_ne!(refused.header("retry-after"), "");
        office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
        let accepted = async {
            loop {
                let told = submit(&office, JOB, &format!("k{key}")).await;
                if told.status != full {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        is_new(&tokio::time::timeout(LIMIT, accepted).await.unwrap());
    }
}
