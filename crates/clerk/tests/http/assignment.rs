//! A client sets what is for clients to set, and nothing else, through whatever door.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::support::{Office, Told, request};

/// Members that a job has, or that a careless server would take, and that are not for clients.
const NOT_THEIRS: &[&str] = &[
    r#""id":"0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69""#,
    r#""tenant":"theirs""#,
    r#""tenant_id":1"#,
    r#""owner":"theirs""#,
    r#""user":{"role":"operator"}"#,
    r#""role":"operator""#,
    r#""key":"cwk_""#,
    r#""idempotency_key":"k""#,
    r#""status":"succeeded""#,
    r#""state":5"#,
    r#""done":true"#,
    r#""rev":9"#,
    r#""attempt":7"#,
    r#""attempts":[]"#,
    r#""dispatch":{"clerk":1,"number":1}"#,
    r#""clerk":1"#,
    r#""worker":"w""#,
    r#""priority":255"#,
    r#""output":"forged""#,
    r#""output_type":"text/html""#,
    r#""error":null"#,
    r#""progress":{"fraction":1}"#,
    r#""note":"x""#,
    r#""created_at":"1970-01-01T00:00:00Z""#,
    r#""finished_at":"1970-01-01T00:00:00Z""#,
    r#""expires_at":"9999-01-01T00:00:00Z""#,
    r#""due_at":0"#,
    r#""wake_at":0"#,
    r#""retention_s":9999999999"#,
    r#""retry_of":"0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69""#,
    r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736""#,
    r#""watch_url":"/x""#,
    r#""input_size":0"#,
    r#""input_type":"text/html""#,
    r#""webhook_secret":"whsec_""#,
    r#""headers":{}"#,
    r#""__proto__":{"tenant":"theirs"}"#,
    r#""constructor":{}"#,
    r#""Queue":"other""#,
    r#""queue ":"other""#,
    r#""job":{"tenant":"theirs"}"#,
];

/// Values of members that are for clients, and that these may not have.
const OUT_OF_RANGE: &[&str] = &[
    r#""max_attempts":0"#,
    r#""max_attempts":-1"#,
    r#""max_attempts":101"#,
    r#""max_attempts":4294967297"#,
    r#""max_attempts":1e9"#,
    r#""max_attempts":1.5"#,
    r#""max_attempts":"3""#,
    r#""max_attempts":[3]"#,
    r#""max_attempts":true"#,
    r#""timeout_s":0"#,
    r#""timeout_s":604801"#,
    r#""timeout_s":-5"#,
    r#""retry_delay_s":-1"#,
    r#""retry_delay_s":3601"#,
    r#""delay_s":-1"#,
    r#""delay_s":1e30"#,
    r#""start_within_s":0"#,
    r#""start_within_s":2592001"#,
    r#""tags":"a""#,
    r#""tags":[null]"#,
    r#""tags":{"a":1}"#,
    r#""webhook":{"url":"https://example.com/"}"#,
    r#""webhook":"http://127.0.0.1/""#,
    r#""queue":["q"]"#,
];

fn of_type(path: &str, kind: &str, body: String) -> Request<Body> {
    let request = Request::post(path).header("content-type", kind);
    request.body(Body::from(body)).unwrap()
}

/// The member in a job that would be accepted without it.
fn job(member: &str) -> String {
    match member.starts_with("\"queue\"") {
        true => format!(r#"{{{member},"input":1}}"#),
        false => format!(r#"{{"queue":"q","input":1,{member}}}"#),
    }
}

/// The same job by all ways into the office.
fn doors(member: &str) -> [Request<Body>; 3] {
    let job = job(member);
    let batch = format!(r#"{{"jobs":[{{"queue":"q","input":0}},{job}]}}"#);
    let bare = job
        .replace(r#""input":1,"#, "")
        .replace(r#","input":1"#, "");
    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{bare}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"input\"\r\n\r\ni\r\n--x--\r\n"
    );
    [
        of_type("/v1/jobs", "application/json", job),
        of_type("/v1/jobs/batch", "application/json", batch),
        of_type("/v1/jobs", "multipart/form-data; boundary=x", form),
    ]
}

fn is_refused(told: &Told, what: &str) {
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (422, "invalid-request"),
        "{what}: {told:?}"
    );
    assert!(!told.pointers().is_empty(), "{what}");
}

/// Nothing was accepted, and the queue is as it was.
async fn nothing_changed(office: &Office, before: &Value) {
    assert_eq!(office.get("/v1/jobs").await.json()["jobs"], json!([]));
    assert_eq!(office.get("/v1/queues/q").await.json(), *before);
}

#[tokio::test]
async fn what_is_not_for_clients_to_set_is_refused_by_every_door_and_nothing_is_accepted() {
    let office = Office::open().await;
    let queue = office.get("/v1/queues/q").await.json();
    for member in NOT_THEIRS.iter().chain(OUT_OF_RANGE) {
        for request in doors(member) {
            let told = office.send(request).await;
            is_refused(&told, member);
        }
    }
    // Beside the jobs of a batch there is nothing to set for all of them.
    let batch = r#"{"jobs":[{"queue":"q","input":0}],"tenant":"theirs"}"#;
    let told = of_type("/v1/jobs/batch", "application/json", batch.to_owned());
    is_refused(&office.send(told).await, batch);
    nothing_changed(&office, &queue).await;
    // A control: these doors are open.
    for request in doors(r#""tags":["a"]"#) {
        assert_eq!(office.send(request).await.status, 202);
    }
}

#[tokio::test]
async fn of_a_queue_only_the_pause_can_be_set() {
    let office = Office::open().await;
    let queue = office.get("/v1/queues/q").await.json();
    for body in [
        r#"{"paused":true,"name":"other"}"#,
        r#"{"paused":true,"tenant":"theirs"}"#,
        r#"{"paused":true,"window":1000000}"#,
        r#"{"paused":true,"cap":0}"#,
        r#"{"paused":"true"}"#,
        r#"{"paused":1}"#,
        r#"{"paused":true,"paused":true}"#,
        r"{}",
    ] {
        let mut patch = request("PATCH", "/v1/queues/q", body);
        let json = "application/json".parse().unwrap();
        patch.headers_mut().insert("content-type", json);
        is_refused(&office.send(patch).await, body);
    }
    nothing_changed(&office, &queue).await;
}

#[tokio::test]
async fn an_address_sets_nothing_either() {
    let office = Office::open().await;
    let queue = office.get("/v1/queues/q").await.json();
    for query in [
        "tenant=theirs",
        "status=succeeded",
        "queue=q",
        "role=operator",
    ] {
        let body = r#"{"queue":"q","input":1}"#.to_owned();
        let submission = of_type(&format!("/v1/jobs?{query}"), "application/json", body);
        let told = office.send(submission).await;
        assert_eq!(told.problem(), "malformed-request", "{query}: {told:?}");
    }
    nothing_changed(&office, &queue).await;
}
