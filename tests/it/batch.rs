//! Many jobs in one request: all of them or none, whatever is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Api, Kind, claims, eventually};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

claims! {
    a_batch_runs_like_jobs_that_come_alone,
    a_kill_leaves_all_jobs_of_a_batch_or_none,
}

#[derive(Debug, Deserialize)]
struct Jobs {
    jobs: Vec<JobObject>,
    #[serde(default)]
    next_cursor: Option<String>,
}

fn batch(queue: &str, count: usize, tag: &str) -> Value {
    let job = |number| json!({"queue": queue, "input": number, "tags": [tag]});
    json!({"jobs": (0..count).map(job).collect::<Vec<_>>()})
}

/// Of whatever a clerk with a busy store is asked again.
const LIMIT: Duration = Duration::from_secs(60);

async fn submit(api: &Api, batch: &Value, key: &str) -> Option<Jobs> {
    let request = api.request(Method::POST, "/jobs/batch");
    let request = request.header("Idempotency-Key", key).json(batch);
    let answer = request.send().await.ok()?;
    assert!(matches!(answer.status().as_u16(), 202 | 503), "{answer:?}");
    answer.json().await.ok()
}

/// How many jobs have this tag.
async fn tagged(api: &Api, tag: &str) -> Option<usize> {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let path = format!("/jobs?limit=200&tag={tag}&cursor={cursor}");
        let answer = api.request(Method::GET, &path).send().await.ok()?;
        let page: Jobs = answer.json().await.ok()?;
        count += page.jobs.len();
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Some(count),
        }
    }
}

async fn a_batch_runs_like_jobs_that_come_alone(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("runs");
    let script = format!("{}; cat", journal.note());
    let system = plan.shell("work", 4, &script).start().await;
    let jobs = batch("work", 40, "t");
    let first = submit(&system.clerk(0), &jobs, "k").await.unwrap();
    let again = submit(&system.clerk(1), &jobs, "k").await.unwrap();
    let ids = |jobs: &Jobs| jobs.jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&again));
    for (number, job) in first.jobs.iter().enumerate() {
        let ended = system.api().ended(job).await;
        assert_eq!(ended.status, Status::Succeeded);
        assert_eq!(ended.output.unwrap().get(), number.to_string());
    }
    let runs = journal.lines();
    assert_eq!(runs.len(), 40, "none runs twice");
    assert_eq!(runs.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

async fn a_kill_leaves_all_jobs_of_a_batch_or_none(kind: Kind) {
    const SIZE: usize = 600;
    let mut system = kind.plan().queue("work").start().await;
    let mut submissions = JoinSet::new();
    for number in 0..8 {
        let api = system.clerk(0);
        submissions.spawn(async move {
            let tag = format!("batch:{number}");
            let answer = submit(&api, &batch("work", SIZE, &tag), &tag).await;
            (tag, answer.map(|jobs| jobs.jobs.len()))
        });
    }
    // One is accepted, and others are on their way.
    let mut told = Vec::new();
    while told.iter().all(|(_, answered)| *answered != Some(SIZE)) {
        told.push(submissions.join_next().await.unwrap().unwrap());
    }
    system.clerks[0].process.kill().await;
    system.restart_clerk(0).await;
    told.extend(submissions.join_all().await);
    let api = system.clerk(0);
    for (tag, answered) in told {
        let count = eventually("the list", LIMIT, async || tagged(&api, &tag).await).await;
        assert!(
            count == SIZE || (count == 0 && answered.is_none()),
            "{tag}: {count}"
        );
        let jobs = batch("work", SIZE, &tag);
        let again = async || submit(&api, &jobs, &tag).await;
        let again = eventually("the repeat is answered", LIMIT, again).await;
        assert_eq!(again.jobs.len(), SIZE);
        let count = eventually("the list", LIMIT, async || tagged(&api, &tag).await).await;
        assert_eq!(count, SIZE, "a repeat makes no second batch");
    }
}
