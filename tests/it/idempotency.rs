//! One key, one job.

use std::collections::BTreeSet;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Kind, claims, heavy};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

claims! {
    fifty_parallel_submissions_with_one_key_are_one_job_that_runs_once,
    a_key_with_another_input_is_refused,
}

async fn fifty_parallel_submissions_with_one_key_are_one_job_that_runs_once(kind: Kind) {
    let _core = heavy().await;
    let plan = kind.plan();
    let journal = plan.journal("runs");
    let system = plan
        .shell("work", 4, &format!("{}; cat", journal.note()))
        .start()
        .await;
    let submissions = (0..50).map(|number| {
        system
            .clerk(number % 2)
            .request(Method::POST, "/jobs")
            .header("Idempotency-Key", "\"order-42\"")
            .header("Prefer", "wait=20")
            .json(&json!({"queue": "work", "input": {"order": 42}}))
            .send()
    });
    let mut ids = BTreeSet::new();
    let mut first = 0;
    for answer in join_all(submissions).await {
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let replayed = answer.headers().get("Idempotency-Replayed");
        first += usize::from(replayed.is_none());
        let job: JobObject = answer.json().await.unwrap();
        assert_eq!(job.status, Status::Succeeded);
        ids.insert(job.id);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(first, 1, "all but one were told that they repeat");
    assert_eq!(journal.lines().len(), 1);
}

async fn a_key_with_another_input_is_refused(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let submission = |clerk: usize, input: u32| {
        system
            .clerk(clerk)
            .request(Method::POST, "/jobs")
            .header("Idempotency-Key", "k")
            .json(&json!({"queue": "echo", "input": input}))
    };
    let first = submission(0, 1).send().await.unwrap();
    assert_eq!(first.status().as_u16(), 202);
    let refusal = system.clerk(1).refusal(submission(1, 2)).await;
    assert_eq!(refusal.status, 422);
    assert_eq!(refusal.kind, "urn:clerkwork:problem:idempotency-key-reused");
}
