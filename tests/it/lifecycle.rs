//! Delays, retries, limits of time and attempts, start deadlines.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Kind, claims, eventually};
use reqwest::Method;
use serde_json::json;

claims! {
    a_delayed_job_starts_when_it_is_due_and_not_before,
    a_failed_attempt_is_tried_again_after_a_growing_delay,
    a_job_fails_for_good_after_its_last_attempt,
    a_refused_input_is_never_tried_again,
    the_limit_of_time_does_not_run_while_a_job_waits_for_its_turn,
    an_attempt_that_runs_out_of_time_is_killed_with_all_its_children,
    a_job_that_nobody_starts_in_time_expires,
    a_failed_job_is_retried_by_hand_as_a_new_one,
}

async fn a_delayed_job_starts_when_it_is_due_and_not_before(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let api = system.api();
    let job = api
        .submit(&json!({"queue": "echo", "input": 1, "delay_s": 2}))
        .await;
    assert_eq!(job.status, Status::Scheduled);
    assert_eq!(job.due_at.since(job.created_at), Duration::from_secs(2));
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded);
    let late = job.started_at.unwrap().since(job.created_at);
    assert!(
        late >= Duration::from_secs(2),
        "started {late:?} after it was accepted"
    );
}

async fn a_failed_attempt_is_tried_again_after_a_growing_delay(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("attempts");
    let script = format!(
        "{}; [ \"$CLERKWORK_ATTEMPT\" = 3 ] && cat || exit 75",
        journal.write("$CLERKWORK_ATTEMPT $(date +%s%3N)")
    );
    let system = plan.shell("flaky", 1, &script).start().await;
    let spec = json!({"queue": "flaky", "input": 7, "retry_delay_s": 1, "max_attempts": 3});
    let api = system.api();
    let job = api.submit(&spec).await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(job.attempt, 3);
    assert!(
        job.error.is_none(),
        "what failed before is no error of a job that did not"
    );
    let times: Vec<(u32, i64)> = journal.lines().iter().map(|line| pair(line)).collect();
    assert_eq!(
        times
            .iter()
            .map(|(attempt, _)| *attempt)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    // One second, then two, each times 0.5 to 1.5.
    let (first, second) = (times[1].1 - times[0].1, times[2].1 - times[1].1);
    assert!(
        (500..20_000).contains(&first),
        "{first} ms before the second attempt"
    );
    assert!(
        (1_000..20_000).contains(&second),
        "{second} ms before the third attempt"
    );
    let attempts = api
        .json(Method::GET, &format!("/jobs/{}/attempts", job.id), None)
        .await;
    let attempts = attempts["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(attempts[0]["error"].is_object() && attempts[2]["error"].is_null());
}

async fn a_job_fails_for_good_after_its_last_attempt(kind: Kind) {
    let script = "echo it is broken >&2; exit 3";
    let system = kind.plan().shell("broken", 2, script).start().await;
    let api = system.api();
    let spec = json!({"queue": "broken", "input": 7, "retry_delay_s": 0, "max_attempts": 2});
    let job = api.submit(&spec).await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Failed);
    assert_eq!(job.attempt, 2);
    let error = job.error.unwrap();
    let error = serde_json::to_value(error).unwrap();
    assert_eq!(error["type"], "urn:clerkwork:problem:handler-error");
    assert_eq!(error["attempt"], 2);
    assert!(
        error["detail"].as_str().unwrap().contains("it is broken"),
        "{error}"
    );
}

async fn a_refused_input_is_never_tried_again(kind: Kind) {
    let system = kind.plan().shell("picky", 1, "exit 65").start().await;
    let job = system.api().run("picky", json!(7)).await;
    assert_eq!((job.status, job.attempt), (Status::Failed, 1));
}

async fn the_limit_of_time_does_not_run_while_a_job_waits_for_its_turn(kind: Kind) {
    let system = kind.plan().shell("nap", 1, "sleep $(cat)").start().await;
    let api = system.api();
    let first = api.send("nap", json!(16)).await;
    let spec = json!({"queue": "nap", "input": 0, "timeout_s": 10, "max_attempts": 1});
    let second = api.submit(&spec).await;
    let second = api.ended(&second).await;
    assert_eq!(second.status, Status::Succeeded, "{second:?}");
    let waited = second.started_at.unwrap().since(second.created_at);
    assert!(waited > Duration::from_secs(10), "it waited {waited:?}");
    assert_eq!(api.ended(&first).await.status, Status::Succeeded);
    // A command that says nothing has an output of nothing.
    assert_eq!(
        (second.output_type.as_deref(), second.output_size),
        (Some("text/plain"), Some(0))
    );
    assert_eq!(
        api.output(second.id).await,
        ("text/plain".to_owned(), Vec::new())
    );
}

async fn an_attempt_that_runs_out_of_time_is_killed_with_all_its_children(kind: Kind) {
    let plan = kind.plan();
    let journal = plan.journal("children");
    // A leader and a child that both ignore SIGTERM.
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & {}; while :; do sleep 0.1; done",
        journal.write("$$ $!")
    );
    let plan = plan
        .shell("slow", 1, &script)
        .worker_setting("kill-grace", "500ms");
    let system = plan.start().await;
    let api = system.api();
    let spec = json!({"queue": "slow", "input": 7, "timeout_s": 10, "max_attempts": 1});
    let job = api.submit(&spec).await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Failed, "{job:?}");
    let error = serde_json::to_value(job.error.unwrap()).unwrap();
    assert_eq!(error["type"], "urn:clerkwork:problem:timed-out");
    let (leader, child) = pair::<i32, i32>(&journal.lines()[0]);
    eventually(
        "both processes are gone",
        Duration::from_secs(10),
        async || {
            let gone = |pid| !std::path::Path::new(&format!("/proc/{pid}/cwd")).exists();
            (gone(leader) && gone(child)).then_some(())
        },
    )
    .await;
}

async fn a_job_that_nobody_starts_in_time_expires(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let api = system.api();
    pause(&api, "echo", true).await;
    let spec = json!({"queue": "echo", "input": 7, "start_within_s": 1});
    let job = api.submit(&spec).await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Expired);
    assert!(job.error.is_none() && job.started_at.is_none());
    pause(&api, "echo", false).await;
    // The queue goes on, and what has expired stays so.
    assert_eq!(api.run("echo", json!(8)).await.status, Status::Succeeded);
    assert_eq!(api.job(job.id).await.status, Status::Expired);
}

#[tokio::test]
async fn in_one_process_a_job_on_the_queue_that_no_worker_takes_expires_soon() {
    let plan = Kind::Embedded.plan().queue("nobody");
    let system = plan.command("busy", 1, &["sleep", "600"]).start().await;
    let api = system.api();
    let running = api.send("busy", json!(1)).await;
    // It stays in the store, since nobody could take it.
    pause(&api, "nobody", true).await;
    let spec = json!({"queue": "nobody", "input": 6, "start_within_s": 15});
    let waited = api.submit(&spec).await;
    pause(&api, "nobody", false).await;
    let late = ["nobody", "busy"].map(|queue| {
        let (api, spec) = (
            &api,
            json!({"queue": queue, "input": 7, "start_within_s": 1}),
        );
        async move {
            let job = api.submit(&spec).await;
            api.ended(&job).await
        }
    });
    for job in futures_util::future::join_all(late).await {
        assert_eq!(job.status, Status::Expired);
    }
    let waited = api.ended(&waited).await;
    assert_eq!((waited.status, waited.attempt), (Status::Expired, 0));
    assert!(!api.job(running.id).await.done);
    api.cancel(running.id).await;
}

async fn a_failed_job_is_retried_by_hand_as_a_new_one(kind: Kind) {
    let plan = kind.plan();
    let mended = plan.file("mended");
    let script = format!("[ -e '{}' ] && cat || exit 64", mended.display());
    let system = plan.shell("fragile", 1, &script).start().await;
    let api = system.api();
    let failed = api.run("fragile", json!({"n": 1})).await;
    assert_eq!(failed.status, Status::Failed);
    std::fs::write(mended, "").unwrap();
    let path = format!("/jobs/{}/retry", failed.id);
    let retried: JobObject = api.post(&path).await;
    assert_eq!(retried.retry_of, Some(failed.id));
    let retried = api.ended(&retried).await;
    assert_eq!(retried.status, Status::Succeeded);
    assert_eq!(retried.output.unwrap().get(), r#"{"n":1}"#);
    assert_eq!(
        system.clerk(1).post(&path).await.id,
        retried.id,
        "a repeat is the same job"
    );
    assert_eq!(api.job(failed.id).await.retried_as, Some(retried.id));
}

async fn pause(api: &clerkwork_tests::Api, queue: &str, paused: bool) {
    api.json(Method::PUT, &format!("/queues/{queue}"), Some(json!({})))
        .await;
    let path = format!("/queues/{queue}");
    let answer = api
        .json(Method::PATCH, &path, Some(json!({"paused": paused})))
        .await;
    assert_eq!(answer["paused"], paused);
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(line: &str) -> (A, B) {
    let (a, b) = line.split_once(' ').unwrap();
    (a.parse().ok().unwrap(), b.parse().ok().unwrap())
}
