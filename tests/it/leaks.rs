//! What clients are told names nothing of what is inside, whatever is broken.

use std::time::Duration;

use clerkwork_tests::{Api, Kind, Services, System, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

/// Words of libraries, of SQL, of source files and of panics.
const INSIDE: &[&str] = &[
    "sqlx",
    "postgres",
    "sqlite",
    "rabbit",
    "amqp",
    "lapin",
    "serde",
    "tokio",
    "hyper",
    "axum",
    "select ",
    "insert ",
    "update ",
    " where ",
    "relation",
    "constraint",
    "jobs_",
    "src/",
    ".rs",
    "/root",
    "/tmp",
    "/home",
    "panick",
    "backtrace",
    "Error(",
    "Err(",
    "Some(",
    "root@",
    "127.0.0.1",
    "5432",
    "5672",
];

/// A request in words, and itself.
type Asked = (String, RequestBuilder);

/// Requests of which most are refused even where nothing is broken.
fn requests(api: &Api, job: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut ask = |method: Method, path: &str, body: Option<&str>| {
        let mut request = api.request(method.clone(), path);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        asked.push((format!("{method} {path} {body:?}"), request));
    };
    let good = r#"{"queue":"q","input":1}"#;
    let batch = format!(r#"{{"jobs":[{good},{good}]}}"#);
    for body in [
        good,
        "",
        "{",
        "[1",
        "\0",
        "nul",
        r#"{"queue":1}"#,
        r#"{"queue":"q"}"#,
        r#"{"queue":"nowhere","input":1}"#,
        r#"{"queue":"q","input":1,"timeout_s":"x","tags":[[]],"webhook":"http://127.1/"}"#,
        r#"{"queue":"q'; drop table jobs; --","input":1}"#,
    ] {
        ask(Method::POST, "/jobs", Some(body));
    }
    for body in [batch.as_str(), "{}", r#"{"jobs":[]}"#] {
        ask(Method::POST, "/jobs/batch", Some(body));
    }
    for path in [
        "/jobs",
        "/jobs?limit=0",
        "/jobs?cursor=abc",
        "/jobs?created_after=x",
        "/jobs?tag=%00",
        "/queues",
        "/queues/q",
        "/workers",
        "/nothing",
        "/jobs/misspelt",
        "/jobs/%ff",
        "/ws",
    ] {
        ask(Method::GET, path, None);
    }
    for tail in ["", "/output", "/input", "/attempts", "/events"] {
        ask(Method::GET, &format!("/jobs/{job}{tail}"), None);
    }
    for act in ["cancel", "retry", "redeliver"] {
        ask(Method::POST, &format!("/jobs/{job}/{act}"), None);
    }
    ask(Method::DELETE, &format!("/jobs/{job}"), None);
    ask(Method::PUT, "/queues/new", None);
    ask(Method::PATCH, "/queues/q", Some(r#"{"paused":"x"}"#));
    ask(Method::POST, "/queues/q/purge", None);
    ask(Method::TRACE, "/jobs", None);
    asked
}

/// Sends all of them and looks at each refusal; how often each status came.
async fn tell_nothing(system: &System, job: &str) -> std::collections::BTreeMap<u16, usize> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy().into_owned();
    let words = INSIDE
        .iter()
        .copied()
        .chain([system.prefix(), host.as_str()]);
    let words: Vec<_> = words.filter(|word| word.len() > 2).collect();
    let mut statuses = std::collections::BTreeMap::new();
    for (what, request) in requests(&system.api(), job) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        if status < 400 {
            continue;
        }
        // Its own id is random, and could be any word.
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        let headers = format!("{:?}", answer.headers()).replace(&id, "");
        let body = answer.text().await.unwrap().replace(&id, "");
        for word in &words {
            let told = headers.contains(word) || body.contains(word);
            assert!(!told, "{what}: {status} names {word:?}: {headers} {body}");
        }
        if status == 500 {
            assert!(!body.contains("detail"), "{what}: {body}");
        }
    }
    statuses
}

async fn run(store: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(store).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn no_refusal_names_what_is_inside_with_a_broken_record_or_without_a_store() {
    let system = Kind::Fleet.plan().clerks(1).queue("q").start().await;
    let api = system.api();
    let sound = api.send("q", json!(1)).await.id.to_string();
    let statuses = tell_nothing(&system, &sound).await;
    assert!(statuses.keys().all(|status| *status < 500), "{statuses:?}");

    // What no clerk writes: each way to read this job fails.
    let broken = api.send("q", json!(1)).await.id.to_string();
    run(
        &system.store(),
        "update jobs set queue = 'a queue?', tags = '{', failure = '!'",
    )
    .await;
    let statuses = tell_nothing(&system, &broken).await;
    assert!(statuses.contains_key(&500), "{statuses:?}");

    let database = system.prefix();
    Services::shared()
        .sql(&format!("DROP DATABASE {database} WITH (FORCE)"))
        .await;
    eventually("the store is missed", Duration::from_secs(20), async || {
        let answer = api.request(Method::GET, "/jobs").send().await.ok()?;
        (answer.status() == 503).then_some(())
    })
    .await;
    let statuses = tell_nothing(&system, &sound).await;
    assert!(statuses[&503] > 5, "{statuses:?}");
}
