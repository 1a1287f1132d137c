//! Clients that reach two clerks through nginx, with the configuration that people deploy.

use std::time::{Duration, Instant};

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Front, Kind, System, eventually};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

/// A fleet whose workers shout, and sleep as many seconds as they are told.
async fn fleet() -> (System, Front) {
    let system = Kind::Fleet
        .plan()
        .command("shout", 8, &["tr", "a-z", "A-Z"])
        .shell("sleep", 8, "read n; sleep $n; echo $n")
        .start()
        .await;
    let front = system.front().await;
    (system, front)
}

/// A submission that waits, with a key, so that it may be repeated.
fn submission(front: &Front, queue: &str, input: &serde_json::Value, key: &str) -> RequestBuilder {
    front
        .api
        .request(Method::POST, "/jobs")
        .header("Prefer", "wait=45")
        .header("Idempotency-Key", key)
        .json(&json!({"queue": queue, "input": input}))
}

/// What the documentation tells clients to do about a lost connection and about a gateway's 5xx: repeat, here once.
async fn with_one_retry(request: RequestBuilder) -> Response {
    let again = request.try_clone().unwrap();
    match request.send().await {
        Ok(answer) if !answer.status().is_server_error() => answer,
        _ => again.send().await.unwrap(),
    }
}

#[tokio::test]
async fn a_fleet_goes_on_when_a_clerk_has_ended() {
    let (mut system, front) = fleet().await;
    let rounds = async || {
        for job in join_all((0..20).map(|_| front.api.run("shout", json!("hello")))).await {
            assert_eq!(job.status, Status::Succeeded, "{job:?}");
        }
    };
    rounds().await;
    system.clerks[0].process.terminate().await;
    rounds().await;
}

#[tokio::test]
async fn the_longest_wait_is_answered_by_a_clerk_and_never_by_a_gateway_time_out() {
    let (_system, front) = fleet().await;
    let begun = Instant::now();
    let answer = submission(&front, "sleep", &json!(300), "long")
        .send()
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(answer.headers()["preference-applied"], "wait=45");
    let waited = begun.elapsed().as_secs();
    assert!((44..75).contains(&waited), "{waited} s");
    let job: JobObject = answer.json().await.unwrap();
    assert!(!job.done, "{job:?}");
}

/// Clients wait through nginx while one of the clerks goes; how many had to repeat, none more than once.
async fn waiting_while_a_clerk_goes(kill: bool) {
    let (mut system, front) = fleet().await;
    let queue = "sleep";
    let ids = join_all((0..8).map(|_| front.api.send(queue, json!(4)))).await;
    let waits = ids.iter().map(|job| {
        let path = format!("/jobs/{}", job.id);
        let wait = front.api.request(Method::GET, &path);
        with_one_retry(wait.header("Prefer", "wait=30"))
    });
    let keys: Vec<String> = (0..4).map(|number| format!("key-{number}")).collect();
    let submissions = keys.iter().map(|key| {
        let request = submission(&front, queue, &json!(4), key);
        with_one_retry(request)
    });
    let goes = async {
        eventually("the jobs run", Duration::from_secs(20), async || {
            let running = front.api.request(Method::GET, "/jobs?status=running");
            let list = running.send().await.ok()?.text().await.ok()?;
            list.contains("\"running\"").then_some(())
        })
        .await;
        let clerk = &mut system.clerks[0].process;
        if kill {
            clerk.kill().await;
        } else {
            clerk.terminate().await;
        }
    };
    let (waited, submitted, ()) = tokio::join!(join_all(waits), join_all(submissions), goes);
    for answer in waited.into_iter().chain(submitted) {
        assert!(answer.status().is_success(), "{answer:?}");
        let mut job: JobObject = answer.json().await.unwrap();
        if !job.done {
            // A draining clerk answers at once, with the state as it is.
            job = front.api.ended(&job).await;
        }
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
    }
    let path = format!("/jobs?queue={queue}&limit=200");
    let list = front.api.json(Method::GET, &path, None).await;
    let jobs = list["jobs"].as_array().unwrap().len();
    assert_eq!(jobs, 12, "a repeated submission is one job");
}

#[tokio::test]
async fn a_clerk_that_is_killed_costs_its_clients_one_retry() {
    waiting_while_a_clerk_goes(true).await;
}

#[tokio::test]
async fn a_clerk_that_drains_costs_its_clients_one_retry() {
    waiting_while_a_clerk_goes(false).await;
}
