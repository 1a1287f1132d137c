//! A store that does not answer: clients are told what is known of their submission, and in time.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::own::Own;
use clerkwork_tests::{Api, Kind, Problem};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::Instant;

/// How much later than promised an answer may come on a busy machine.
const SLACK: f64 = 3.0;

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

#[tokio::test]
async fn a_submission_is_unavailable_while_it_is_not_sent_and_unknown_once_it_is() {
    let Some(own) = Own::start().await else {
        return;
    };
    let plan = Kind::Fleet.plan().on(own.services()).clerks(1);
    let system = plan.command("echo", 4, &["cat"]).start().await;
    let api = system.api();
    api.run("echo", json!("before")).await;

    own.postgres.freeze();
    let later = async {
        // The first is sent at once: those that come later wait behind it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        refused(&api, "waits").await
    };
    let ((sent, sent_after), (waits, waited)) = tokio::join!(refused(&api, "sent"), later);
    let (frozen, frozen_after) = refused(&api, "later").await;
    own.postgres.thaw();

    assert!(sent.kind.ends_with(":outcome-unknown"), "{sent:?}");
    assert!((9.5..10.5 + SLACK).contains(&sent_after), "{sent_after}");
    for (problem, after) in [(waits, waited), (frozen, frozen_after)] {
        assert!(problem.kind.ends_with(":unavailable"), "{problem:?}");
        assert!((1.9..3.5 + SLACK).contains(&after), "{after}");
    }

    // Whatever became of each, its repetition is one job, and there is no other.
    let repeated = async |key| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = submission(&api, key).send().await.unwrap();
            if answer.status().is_success() {
                return answer.json().await.unwrap();
            }
            assert!(Instant::now() < end, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    for key in ["sent", "waits", "later"] {
        let job = repeated(key).await;
        let job = api.ended_within(&job, Duration::from_secs(120)).await;
        assert_eq!(job.status, Status::Succeeded);
        assert_eq!(job.output.unwrap().get(), json!(key).to_string());
    }
    let listed = api.json(Method::GET, "/jobs", None).await;
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 4);
}
