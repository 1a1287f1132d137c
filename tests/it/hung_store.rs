//! A store that does not answer: clients are told what is known of their submission, and in time.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::own::{self, Postgres};
use clerkwork_tests::{Api, Kind, Problem, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::Instant;

/// How much later than promised an answer may come on a busy machine.
const SLACK: f64 = 6.0;

fn submission(api: &Api, key: &str) -> RequestBuilder {
    api.request(Method::POST, "/jobs")
        .header("Idempotency-Key", key)
        .json(&json!({"queue": "echo", "input": key}))
}

/// What the submission is refused with, and after how many seconds.
async fn refused(api: &Api, key: &str) -> (Problem, f64) {
    let begun = Instant::now();
    let problem = api.refusal(submission(api, key)).await;
    assert_eq!(problem.status, 503);
    (problem, begun.elapsed().as_secs_f64())
}

/// Freezes the store until a submission was sent to it and not answered: now and then the clerk has just
/// sent something else, behind which nothing can be sent. What that one was refused with, and when.
async fn unanswered(api: &Api, postgres: &Postgres, keys: &mut Vec<String>) -> (Problem, f64) {
    for number in 0..8 {
        let key = format!("sent-{number}");
        keys.push(key.clone());
        postgres.freeze();
        let (problem, after) = refused(api, &key).await;
        if problem.kind.ends_with(":outcome-unknown") {
            return (problem, after);
        }
        is_unavailable(&problem, after);
        postgres.thaw();
        accepted(api, &key).await;
    }
    panic!("nothing is ever sent to the store");
}

fn is_unavailable(problem: &Problem, after: f64) {
    assert!(problem.kind.ends_with(":unavailable"), "{problem:?}");
    assert!((1.9..3.5 + SLACK).contains(&after), "{after}");
}

/// The job that a repetition of this submission leads to.
async fn accepted(api: &Api, key: &str) -> JobObject {
    let repeat = async || {
        let answer = submission(api, key).send().await.unwrap();
        match answer.status().is_success() {
            true => Some(answer.json().await.unwrap()),
            false => None,
        }
    };
    eventually("it is accepted", Duration::from_secs(60), repeat).await
}

#[tokio::test]
async fn a_submission_is_unavailable_while_it_is_not_sent_and_unknown_once_it_is() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let postgres = Postgres::start().await;
    let services = postgres.services();
    let plan = Kind::Fleet.plan().on(services).clerks(1);
    let system = plan.command("echo", 4, &["cat"]).start().await;
    let api = system.api();
    api.run("echo", json!("before")).await;

    let mut keys = vec!["waits".to_owned(), "later".to_owned()];
    let (_, sent_after) = unanswered(&api, &postgres, &mut keys).await;
    assert!((9.5..10.5 + SLACK).contains(&sent_after), "{sent_after}");
    // The clerk waits for the store to say what became of it: nothing else is sent.
    let (waits, later) = tokio::join!(refused(&api, "waits"), refused(&api, "later"));
    for (problem, after) in [waits, later] {
        is_unavailable(&problem, after);
    }
    postgres.thaw();

    // Whatever became of each, its repetition is one job, and there is no other.
    for key in &keys {
        let job = accepted(&api, key).await;
        let job = api.ended_within(&job, Duration::from_secs(120)).await;
        assert_eq!(job.status, Status::Succeeded);
        assert_eq!(job.output.unwrap().get(), json!(key).to_string());
    }
    let listed = api.json(Method::GET, "/jobs", None).await;
    assert_eq!(listed["jobs"].as_array().unwrap().len(), keys.len() + 1);
}
