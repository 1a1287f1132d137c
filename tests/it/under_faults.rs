//! The promises hold while some of every hundred calls to the store and the broker go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clerkwork_core::{JobId, JobObject, Status, WebhookStatus};
use clerkwork_tests::{Api, Inbox, Kind, Plan, System, claims, eventually};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

claims! {
    every_job_ends_well_and_one_key_is_one_job,
    batches_are_accepted_whole_and_once,
    failures_are_counted_and_tried_again,
    what_is_cancelled_ends_and_what_was_not_due_never_starts,
    webhooks_tell_each_end_under_one_id,
    streams_end_with_the_outcome_that_all_clerks_show,
}

/// How long anything may take to come right. Mostly it is seconds, but what is lost without a sign is
/// noticed after minutes only.
const LIMIT: Duration = Duration::from_secs(240);

/// The seeds of the claims are such that under them a fleet's first calls that accept, publish, record a
/// success or a change do not all go well.
///
/// Silence is noticed soon, so that what a fault delays is not waited for as long as a day's work.
fn faulty(kind: Kind, seed: u32) -> Plan {
    let rate = match kind {
        // In one process the broker loses nothing.
        Kind::Embedded => 0.05,
        Kind::Fleet => 0.02,
    };
    let plan = kind.plan().faults(&format!("{seed}:{rate}"));
    plan.lease(Duration::from_secs(6))
        .clerk_setting("webhook-allow", "127.0.0.0/8")
}

/// Asks until the answer is another one than that the store is away or has not answered.
async fn patiently(what: &str, request: impl Fn() -> RequestBuilder) -> Response {
    eventually(what, LIMIT, async || {
        let answer = request().send().await.ok()?;
        (answer.status() != 503).then_some(answer)
    })
    .await
}

async fn good(what: &str, request: impl Fn() -> RequestBuilder) -> Value {
    let answer = patiently(what, request).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{what}: {status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Submits one job under one key until it is accepted.
async fn submit(api: &Api, key: &str, job: &Value) -> JobObject {
    let request = || {
        let request = api.request(Method::POST, "/jobs");
        request.header("Idempotency-Key", key).json(job)
    };
    serde_json::from_value(good("a submission", request).await).unwrap()
}

async fn job(api: &Api, id: JobId) -> JobObject {
    let path = format!("/jobs/{id}");
    let request = || api.request(Method::GET, &path);
    serde_json::from_value(good("a job", request).await).unwrap()
}

/// All jobs with this tag.
async fn tagged(api: &Api, tag: &str) -> BTreeSet<JobId> {
    let path = format!("/jobs?limit=200&tag={tag}");
    let list = good("a list", || api.request(Method::GET, &path)).await;
    let jobs = list["jobs"].as_array().unwrap().iter();
    jobs.map(|job| serde_json::from_value(job["id"].clone()).unwrap())
        .collect()
}

/// Waits until all of them are done; each clerk must show the same end of each.
async fn all_end(system: &System, jobs: &[JobObject]) -> Vec<JobObject> {
    let last = system.clerks.len() - 1;
    let (one, other) = (system.clerk(0), system.clerk(last));
    let ended = join_all(jobs.iter().map(|job| one.ended_within(job, LIMIT))).await;
    for end in &ended {
        let again = job(&other, end.id).await;
        assert_eq!(again.status, end.status, "{again:?}");
        assert_eq!(again.finished_at, end.finished_at, "{again:?}");
        assert_eq!(
            again.output.map(|output| output.get().to_owned()),
            end.output.as_ref().map(|output| output.get().to_owned())
        );
    }
    ended
}

/// The faults fired: a claim that holds without any says nothing.
fn assert_fired(system: &System) {
    for clerk in &system.clerks {
        let complaints = clerk.process.complaints();
        let fired = complaints.matches("a planned fault").count();
        assert!(fired > 0, "no fault in {:?}", clerk.process);
    }
}

async fn every_job_ends_well_and_one_key_is_one_job(kind: Kind) {
    const JOBS: usize = 60;
    let system = faulty(kind, 5196)
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let (one, other) = (system.clerk(0), system.clerk(1));
    let submissions = (0..JOBS).map(|number| {
        let (one, other) = (&one, &other);
        async move {
            let (key, job) = (format!("key-{number}"), input("echo", number));
            let both = (submit(one, &key, &job), submit(other, &key, &job));
            let (first, second) = tokio::join!(both.0, both.1);
            assert_eq!(first.id, second.id, "one key is one job");
            first
        }
    });
    let jobs = join_all(submissions).await;
    for (number, end) in all_end(&system, &jobs).await.into_iter().enumerate() {
        assert_eq!(end.status, Status::Succeeded, "{end:?}");
        assert_eq!(end.output.unwrap().get(), number.to_string());
    }
    let ids: BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), JOBS);
    assert_eq!(
        tagged(&one, "under:faults").await,
        ids,
        "and there are no others"
    );
    // A held request is answered with the end, as ever.
    let held = || {
        let request = one.request(Method::POST, "/jobs").json(&input("echo", 7));
        request
            .header("Idempotency-Key", "held")
            .header("Prefer", "wait=30")
    };
    let held: JobObject = serde_json::from_value(good("a held request", held).await).unwrap();
    let held = one.ended_within(&held, LIMIT).await;
    assert_eq!(held.status, Status::Succeeded);
    assert_fired(&system);
}

fn input(queue: &str, input: usize) -> Value {
    json!({"queue": queue, "input": input, "tags": ["under:faults"], "retry_delay_s": 0})
}

async fn batches_are_accepted_whole_and_once(kind: Kind) {
    const SIZE: usize = 12;
    let system = faulty(kind, 5657)
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let submissions = (0..6).map(|number| {
        let jobs: Vec<_> = (0..SIZE).map(|at| input("echo", at)).collect();
        let (batch, key) = (json!({"jobs": jobs}), format!("batch-{number}"));
        let ask = move |api: Api| {
            let (batch, key) = (batch.clone(), key.clone());
            async move {
                let request = || {
                    let request = api.request(Method::POST, "/jobs/batch");
                    request.header("Idempotency-Key", &key).json(&batch)
                };
                let answer = good("a batch", request).await;
                serde_json::from_value::<Vec<JobObject>>(answer["jobs"].clone()).unwrap()
            }
        };
        let (one, other) = (system.clerk(0), system.clerk(1));
        async move {
            let (first, second) = tokio::join!(ask(one), ask(other));
            let ids = |jobs: &[JobObject]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
            assert_eq!(ids(&first), ids(&second));
            assert_eq!(first.len(), SIZE);
            first
        }
    });
    let jobs = join_all(submissions).await.concat();
    let ids: BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(tagged(&system.api(), "under:faults").await, ids);
    for (number, end) in all_end(&system, &jobs).await.into_iter().enumerate() {
        assert_eq!(end.status, Status::Succeeded, "{end:?}");
        assert_eq!(end.output.unwrap().get(), (number % SIZE).to_string());
    }
    assert_fired(&system);
}

async fn failures_are_counted_and_tried_again(kind: Kind) {
    let plan = faulty(kind, 6202);
    let journal = plan.journal("runs");
    let script = format!(
        r#"{}; read n; [ "$n" = 1 ] && [ $(grep -c "$CLERKWORK_JOB_ID" '{}') -gt 1 ] && echo 7 || exit 1"#,
        journal.note(),
        plan.file("runs").display()
    );
    let system = plan.shell("fickle", 4, &script).start().await;
    let api = system.api();
    let submissions = (0..30).map(|number| {
        let mut job = input("fickle", number % 2);
        job["max_attempts"] = json!(if number % 2 == 1 { 20 } else { 2 });
        let api = &api;
        async move { submit(api, &format!("key-{number}"), &job).await }
    });
    let jobs = join_all(submissions).await;
    let ends = all_end(&system, &jobs).await;
    let runs: BTreeMap<_, _> = journal.counts();
    for (number, end) in ends.iter().enumerate() {
        let runs = runs[&end.id.to_string()];
        assert!(runs >= 2, "{runs} runs: {end:?}");
        let expected = [Status::Failed, Status::Succeeded][number % 2];
        assert_eq!(end.status, expected, "{end:?}");
    }
    assert_fired(&system);
}

async fn what_is_cancelled_ends_and_what_was_not_due_never_starts(kind: Kind) {
    let plan = faulty(kind, 15502);
    let journal = plan.journal("started");
    let script = format!("{}; exec sleep 600", journal.note());
    let system = plan.shell("long", 4, &script).start().await;
    let api = system.api();
    let submissions = (0..24).map(|number| {
        let mut job = input("long", number);
        if number % 2 == 0 {
            job["delay_s"] = json!(5);
        }
        let api = &api;
        async move { submit(api, &format!("key-{number}"), &job).await }
    });
    let jobs = join_all(submissions).await;
    eventually("some jobs run", LIMIT, async || {
        (journal.lines().len() >= 4).then_some(())
    })
    .await;
    let other = system.clerk(1);
    let cancels = jobs.iter().map(|job| {
        let path = format!("/jobs/{}/cancel", job.id);
        let api = &other;
        async move {
            let request = || api.request(Method::POST, &path);
            let answer = good("a cancel", request).await;
            serde_json::from_value::<JobObject>(answer).unwrap()
        }
    });
    let answers = join_all(cancels).await;
    for (end, answer) in all_end(&system, &jobs).await.iter().zip(&answers) {
        assert_eq!(end.status, Status::Cancelled, "{end:?}");
        if answer.done && answer.started_at.is_none() && answer.attempt == 0 {
            let started = journal.lines().contains(&end.id.to_string());
            assert!(!started, "it was not due: {end:?}");
        }
    }
    assert_fired(&system);
}

async fn webhooks_tell_each_end_under_one_id(kind: Kind) {
    let inbox = Inbox::open().await;
    let system = faulty(kind, 17817)
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let api = system.api();
    let submissions = (0..40).map(|number| {
        let mut job = input("echo", number);
        job["webhook"] = json!(inbox.url());
        let api = &api;
        async move { submit(api, &format!("key-{number}"), &job).await }
    });
    let jobs = join_all(submissions).await;
    all_end(&system, &jobs).await;
    for one in &jobs {
        eventually("the webhook is delivered", LIMIT, async || {
            let webhook = job(&api, one.id).await.webhook.unwrap();
            (webhook.status == WebhookStatus::Delivered).then_some(())
        })
        .await;
        assert_eq!(inbox.events_of(one.id).len(), 1, "{one:?}");
    }
    assert_fired(&system);
}

async fn streams_end_with_the_outcome_that_all_clerks_show(kind: Kind) {
    let script = "cat >/dev/null; echo progress 0.5 >&3; sleep 0.2; echo 7";
    let system = faulty(kind, 26574).shell("tell", 4, script).start().await;
    let api = system.api();
    let last = system.clerks.len() - 1;
    let follower = system.clerk(last);
    let followed = (0..24).map(|number| {
        let (api, follower) = (&api, &follower);
        async move {
            let job = submit(api, &format!("key-{number}"), &input("tell", number)).await;
            let end = follow(follower, job.id).await;
            (job, end)
        }
    });
    let (jobs, ends): (Vec<_>, Vec<_>) = join_all(followed).await.into_iter().unzip();
    for (end, told) in all_end(&system, &jobs).await.iter().zip(ends) {
        assert_eq!(end.status, Status::Succeeded, "{end:?}");
        assert_eq!(told["status"], "succeeded");
        assert_eq!(told["output"], 7);
    }
    assert_fired(&system);
}

/// Follows a job's stream to its end, as often as it takes; after the end nothing comes.
async fn follow(api: &Api, id: JobId) -> Value {
    let path = format!("/jobs/{id}/events");
    let text = eventually("a stream comes to its end", LIMIT, async || {
        let answer = api.request(Method::GET, &path).send().await.ok()?;
        assert!(matches!(answer.status().as_u16(), 200 | 503), "{answer:?}");
        let text = answer.text().await.ok()?;
        text.contains(r#""done":true"#).then_some(text)
    })
    .await;
    let states = text
        .split("\n\n")
        .filter(|event| event.contains("event: state"));
    let states = states.filter_map(|event| event.split("data: ").nth(1));
    let states: Vec<Value> = states
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let done = states.iter().filter(|state| state["done"] == true).count();
    assert_eq!(done, 1, "{text}");
    states.last().unwrap().clone()
}
