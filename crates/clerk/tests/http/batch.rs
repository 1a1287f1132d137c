//! Submitting many jobs at once.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::support::{Office, Told};

async fn post(office: &Office, body: String, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::post("/v1/jobs/batch").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    office.send(request.body(Body::from(body)).unwrap()).await
}

fn jobs(count: usize) -> Value {
    let job = |at| json!({"queue": "q", "input": {"n": at}, "tags": [format!("n:{at}")]});
    json!({"jobs": (0..count).map(job).collect::<Vec<_>>()})
}

fn ids(told: &Told) -> Vec<String> {
    let json = told.json();
    let jobs = json["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn listed(office: &Office) -> usize {
    let told = office.get("/v1/jobs?limit=200").await;
    ids(&told).len()
}

#[tokio::test]
async fn a_batch_is_accepted_in_its_order_and_runs() {
    let office = Office::open().await;
    let _worker = office.echo();
    let told = post(&office, jobs(1_000).to_string(), &[("prefer", "wait=5")]).await;
    assert_eq!(told.status, 202);
    assert_eq!(told.header("preference-applied"), "");
    let answer = told.json();
    let all = answer["jobs"].as_array().unwrap();
    assert_eq!(all.len(), 1_000);
    for (at, job) in all.iter().enumerate() {
        assert_eq!(job["tags"], json!([format!("n:{at}")]));
        assert_eq!(job["status"], "queued");
    }
    for at in [0, 17, 999] {
        let id = all[at]["id"].as_str().unwrap();
        let path = format!("/v1/jobs/{id}");
        let waiting = Request::get(path).header("prefer", "wait=20");
        let told = office.send(waiting.body(Body::empty()).unwrap()).await;
        assert_eq!(told.json()["output"], json!({"n": at}));
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_batch_is_told_with_its_place_and_nothing_is_accepted() {
    let office = Office::open().await;
    let mut batch = jobs(20);
    batch["jobs"][17]["timeout_s"] = json!(0);
    batch["jobs"][3]["input"] = Value::Null;
    batch["jobs"][3]["colour"] = json!(1);
    batch["jobs"][5] = json!([]);
    batch["jobs"][6] = json!({});
    batch["jobs"][7]["tags"] = json!(["a", "b c"]);
    let told = post(&office, batch.to_string(), &[]).await;
    assert_eq!(told.status, 422);
    assert_eq!(
        told.pointers(),
        [
            "/jobs/3/colour",
            "/jobs/5",
            "/jobs/6/input",
            "/jobs/6/queue",
            "/jobs/7/tags/1",
            "/jobs/17/timeout_s"
        ]
    );
    assert_eq!(listed(&office).await, 0);
}

#[tokio::test]
async fn a_batch_with_one_bad_input_is_refused_with_its_place() {
    let office = Office::with(|config| config.max_input = 100).await;
    let large = format!("{:?}", "x".repeat(101));
    let cases = [
        (r#""\ud800""#, 400, "/jobs/616/input"),
        ("[1,]", 400, "/jobs/616/input/1"),
        ("nul", 400, "/jobs/616/input"),
        (&*large, 413, "/jobs/616/input"),
    ];
    for (input, status, pointer) in cases {
        let mut all = vec![r#"{"queue":"q","input":"]},{"}"#.to_owned(); 1_000];
        all[616] = format!("{{\"queue\":\"q\",\"input\":{input}}}");
        let told = post(&office, format!("{{\"jobs\":[{}]}}", all.join(",")), &[]).await;
        assert_eq!(told.status, status, "{told:?}");
        assert_eq!(told.pointers(), [pointer], "{told:?}");
    }
    assert_eq!(listed(&office).await, 0);
    let told = office
        .submit(r#"{"queue":"q","input":{"a":"\ud800"}}"#)
        .await;
    assert_eq!(told.pointers(), ["/input/a"]);
}

#[tokio::test]
async fn the_errors_of_a_batch_are_cut_short() {
    let office = Office::open().await;
    let bad = json!({"jobs": vec![json!({"queue": 1}); 1_000]});
    let told = post(&office, bad.to_string(), &[]).await;
    assert_eq!((told.status.as_u16(), told.pointers().len()), (422, 32));
}

#[tokio::test]
async fn a_batch_has_1_to_1000_jobs_in_an_object_of_nothing_else() {
    let office = Office::open().await;
    for (body, pointer) in [
        (jobs(0).to_string(), "/jobs"),
        (jobs(1_001).to_string(), "/jobs"),
        ("{}".to_owned(), "/jobs"),
        (r#"{"jobs":{}}"#.to_owned(), "/jobs"),
        (
            r#"{"jobs":[{"queue":"q","input":1}],"x":1}"#.to_owned(),
            "/x",
        ),
        ("[]".to_owned(), ""),
    ] {
        let told = post(&office, body, &[]).await;
        assert_eq!((told.status.as_u16(), &*told.pointers()[0]), (422, pointer));
    }
    let told = post(&office, "{".to_owned(), &[]).await;
    assert_eq!(told.problem(), "malformed-request");
    let told = post(
        &office,
        format!("{{\"jobs\":[{}1]}}", "1,".repeat(3_000_000)),
        &[],
    )
    .await;
    assert_eq!(told.status, 422);
    assert_eq!(listed(&office).await, 0);
}

#[tokio::test]
async fn a_batch_of_a_queue_that_is_not_known_is_refused_whole() {
    let office = Office::open().await;
    let mut batch = jobs(9);
    batch["jobs"][4]["queue"] = json!("nobody");
    batch["jobs"][8]["queue"] = json!("nobody-else");
    let told = post(&office, batch.to_string(), &[]).await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (404, "unknown-queue")
    );
    assert_eq!(told.pointers(), ["/jobs/4/queue", "/jobs/8/queue"]);
    assert_eq!(listed(&office).await, 0);
}

#[tokio::test]
async fn a_batch_may_have_15_mib_and_each_input_its_own_limit() {
    let office = Office::open().await;
    let most = 15 * 1024 * 1024;
    let filled = |size: usize| {
        let body = jobs(1).to_string();
        let room = " ".repeat(size - body.len());
        body + &room
    };
    assert_eq!(post(&office, filled(most), &[]).await.status, 202);
    let told = post(&office, filled(most + 1), &[]).await;
    assert_eq!(told.status, 413);
    assert_eq!(told.json()["limit_bytes"], most);
    let large = "x".repeat(4 * 1024 * 1024);
    let body = json!({"jobs": [{"queue": "q", "input": large}]});
    let told = post(&office, body.to_string(), &[]).await;
    assert_eq!(told.status, 413);
    assert_eq!(told.json()["limit_bytes"], 4 * 1024 * 1024);
}

#[tokio::test]
async fn a_batch_comes_as_json_and_not_coded() {
    let office = Office::open().await;
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "text/plain"),
    ] {
        let request = Request::post("/v1/jobs/batch").header(name, value);
        let told = office.send(request.body(Body::from("x")).unwrap()).await;
        assert_eq!(told.status, 415, "{value}");
    }
    let told = office.call("GET", "/v1/jobs/batch").await;
    assert_eq!((told.status.as_u16(), told.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn one_key_covers_the_whole_batch() {
    let office = Office::open().await;
    let key = [("idempotency-key", "nightly")];
    let (first, again) = tokio::join!(
        post(&office, jobs(30).to_string(), &key),
        post(&office, jobs(30).to_string(), &key)
    );
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(ids(&first).iter().collect::<BTreeSet<_>>().len(), 30);
    let replays = [&first, &again].map(|told| told.header("idempotency-replayed") == "true");
    assert_eq!(replays.iter().filter(|replayed| **replayed).count(), 1);
    assert_eq!(listed(&office).await, 30);
    let other = post(&office, jobs(31).to_string(), &key).await;
    assert_eq!(
        (other.status.as_u16(), &*other.problem()),
        (422, "idempotency-key-reused")
    );
    let id = &ids(&first)[7];
    office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
    office.call("DELETE", &format!("/v1/jobs/{id}")).await;
    let gone = post(&office, jobs(30).to_string(), &key).await;
    assert_eq!(gone.problem(), "idempotency-key-reused");
}

#[tokio::test]
async fn all_jobs_of_a_batch_are_of_its_trace() {
    let office = Office::open().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let told = post(&office, jobs(3).to_string(), &[("traceparent", &parent)]).await;
    for job in told.json()["jobs"].as_array().unwrap() {
        assert_eq!(job["trace_id"], trace);
    }
}

#[tokio::test]
async fn a_batch_of_many_small_inputs_may_be_larger_than_all_else() {
    let office = Office::with(|config| {
        config.max_input = 10_000;
        config.max_output = 10_000;
    })
    .await;
    let job = json!({"queue": "q", "input": "x".repeat(9_000)});
    let batch = json!({"jobs": vec![job; 100]}).to_string();
    assert!(
        batch.len() > 16 * 10_000,
        "more than large answers may have"
    );
    let told = post(&office, batch, &[]).await;
    assert_eq!(told.status, 202, "{told:?}");
}
