//! What a clerk answers workers that ask before they start a job.

use std::time::Duration;

use clerkwork_clerk::{Clerk, Config};
use clerkwork_wire::v1::Job;

use crate::asker::{Asker, Jobs, office};
use crate::support::{LIMIT, Office};

async fn attempts(office: &Office, id: &str) -> Vec<serde_json::Value> {
    let told = office.get(&format!("/v1/jobs/{id}/attempts")).await;
    told.json()["attempts"].as_array().unwrap().clone()
}

/// The job without its watch URL, whose token tells the time.
async fn record(office: &Office, id: &str) -> serde_json::Value {
    let mut job = office.get(&format!("/v1/jobs/{id}")).await.json();
    job["watch_url"].take();
    job
}

#[tokio::test]
async fn a_grant_is_on_record_as_a_start_and_a_repeated_question_gets_the_same_answer() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    assert!(!job.ask, "its first dispatch");
    let mut worker = Asker::new(&office, "w").await;
    assert_eq!(worker.is_granted(&job, None).await, job.correlation);
    let running = record(&office, &id).await;
    assert_eq!(
        (&running["status"], &running["attempt"]),
        (&"running".into(), &1.into())
    );
    for _ in 0..3 {
        assert_eq!(worker.is_granted(&job, None).await, job.correlation);
    }
    assert_eq!(record(&office, &id).await, running);
    worker.succeeds(&job.correlation).await;
    office.comes_to(&id, "succeeded").await;
    worker.is_refused(&job).await;
}

#[tokio::test]
async fn any_clerk_gives_the_answer_that_another_has_recorded() {
    let office = office().await;
    // A second clerk takes every other report.
    let store = office.clerk.desk().store.clone();
    let other = Clerk::start(Config::default(), store, office.broker.clone()).await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut worker = Asker::new(&office, "w").await;
    worker.is_granted(&job, None).await;
    let before = record(&office, &id).await;
    for _ in 0..8 {
        assert_eq!(worker.is_granted(&job, None).await, job.correlation);
    }
    assert_eq!(record(&office, &id).await, before);
    drop(other);
}

#[tokio::test]
async fn a_dispatch_after_a_doubt_says_that_it_must_be_asked_about() {
    let office = office().await;
    let (mut jobs, _) = (Jobs::of(&office).await, office.job().await);
    let first = jobs.next().await;
    // Listed once, and never again.
    let mut worker = Asker::new(&office, "w").await;
    worker.report(&[(&first, false)], &[]).await;
    let second = jobs.next().await;
    assert!(second.ask && second.message_id.ends_with(":2"));
    // The first one is superseded; the second may be started.
    let mut asker = Asker::new(&office, "x").await;
    asker.is_refused(&first).await;
    asker.is_granted(&second, None).await;
}

#[tokio::test]
async fn a_start_that_a_silent_worker_did_not_survive_is_counted_and_its_failure_is_not() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut dead = Asker::new(&office, "w").await;
    dead.report(&[(&job, true)], &[]).await;
    office.comes_to(&id, "running").await;
    let mut worker = Asker::new(&office, "x").await;
    let word = worker.is_granted(&job, Some(2)).await;
    assert_ne!(word, job.correlation);
    let tried = attempts(&office, &id).await;
    let lost = "urn:clerkwork:problem:worker-lost";
    assert_eq!((tried.len(), &tried[0]["error"]["type"]), (2, &lost.into()));
    assert_eq!(
        (&tried[0]["worker"], &tried[1]["worker"]),
        (&"w".into(), &"x".into())
    );
    // The dead worker comes back and says that it failed for good.
    dead.fails(&job.correlation).await;
    worker.is_granted(&job, Some(2)).await;
    worker.succeeds(&word).await;
    office.comes_to(&id, "succeeded").await;
}

#[tokio::test]
async fn the_late_success_of_a_worker_that_was_given_up_counts_once() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut dead = Asker::new(&office, "w").await;
    dead.report(&[(&job, true)], &[]).await;
    office.comes_to(&id, "running").await;
    let mut worker = Asker::new(&office, "x").await;
    let word = worker.is_granted(&job, Some(2)).await;
    dead.succeeds(&job.correlation).await;
    let done = office.comes_to(&id, "succeeded").await;
    worker.succeeds(&word).await;
    worker.is_refused(&job).await;
    assert_eq!(office.get(&format!("/v1/jobs/{id}")).await.json(), done);
}

#[tokio::test]
async fn a_job_that_kills_each_worker_fails_and_the_next_asker_is_refused() {
    let office = office().await;
    let mut jobs = Jobs::of(&office).await;
    let told = office
        .submit(r#"{"queue":"q","input":1,"max_attempts":2}"#)
        .await;
    let id = told.id();
    let job = jobs.next().await;
    Asker::new(&office, "a").await.is_granted(&job, None).await;
    Asker::new(&office, "b")
        .await
        .is_granted(&job, Some(2))
        .await;
    Asker::new(&office, "c").await.is_refused(&job).await;
    let failed = office.comes_to(&id, "failed").await;
    assert_eq!(failed["error"]["type"], "urn:clerkwork:problem:worker-lost");
    assert_eq!(failed["error"]["attempt"], 2);
}

#[tokio::test]
async fn a_job_that_a_living_worker_lists_is_left_to_it_however_long_it_runs() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut owner = Asker::new(&office, "w").await;
    owner.report(&[(&job, true)], &[]).await;
    office.comes_to(&id, "running").await;
    let mut asker = Asker::new(&office, "x").await;
    let lives = async {
        loop {
            owner.report(&[(&job, true)], &[]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = asker.is_refused(&job) => {}
        () = lives => {}
    }
    // The asker has acknowledged the delivery. The lease of a held job guards it now: three seconds.
    let lives = async {
        for _ in 0..40 {
            owner.report(&[(&job, true)], &[]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    lives.await;
    let kept = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(
        (&kept["status"], &kept["attempt"]),
        (&"running".into(), &1.into())
    );
    // Once it is silent the job is dispatched anew.
    let again = jobs.next().await;
    assert!(again.ask);
}

#[tokio::test]
async fn a_job_that_a_living_worker_does_not_list_is_granted_at_its_next_report_and_not_counted() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut owner = Asker::new(&office, "w").await;
    owner.is_granted(&job, None).await;
    let mut asker = Asker::new(&office, "x").await;
    let lives = async {
        loop {
            owner.report(&[], &[]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = asker.is_granted(&job, Some(2)) => {}
        () = lives => {}
    }
    let tried = attempts(&office, &id).await;
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert!(tried[0]["error"].is_null(), "{tried:?}");
}

#[tokio::test]
async fn what_a_drained_worker_gave_back_is_granted_at_once() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let mut drained = Asker::new(&office, "w").await;
    drained.report(&[(&job, false)], &[]).await;
    drained.draining = true;
    drained.report(&[], &[]).await;
    let mut asker = Asker::new(&office, "x").await;
    asker.is_granted(&job, None).await;
    assert_eq!(attempts(&office, &id).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_runs_a_job_by_another_delivery_is_refused_the_second() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let first = jobs.next().await;
    let mut dead = Asker::new(&office, "w").await;
    dead.report(&[(&first, false)], &[]).await;
    let second = jobs.next().await;
    // One worker has both, and runs the one that is superseded.
    let mut worker = Asker::new(&office, "x").await;
    worker.report(&[(&first, true)], &[&second]).await;
    let answer = worker.answer_within(LIMIT).await.unwrap();
    assert_eq!(answer.refused, std::slice::from_ref(&second.message_id));
    assert_eq!(office.comes_to(&id, "running").await["attempt"], 2);
    worker.succeeds(&first.correlation).await;
    office.comes_to(&id, "succeeded").await;
}

#[tokio::test]
async fn of_what_a_dead_worker_had_started_one_is_granted_at_a_time() {
    let office = office().await;
    let mut jobs = Jobs::of(&office).await;
    let ids = [office.job().await, office.job().await];
    let both = [jobs.next().await, jobs.next().await];
    let mut dead = Asker::new(&office, "w").await;
    dead.report(&[(&both[0], true), (&both[1], true)], &[])
        .await;
    for id in &ids {
        office.comes_to(id, "running").await;
    }
    // Whichever killed it, the other has no part in the next death.
    let mut worker = Asker::new(&office, "x").await;
    let answer = loop {
        worker.report(&[], &[&both[0], &both[1]]).await;
        if let Some(answer) = worker.answer_within(Duration::from_millis(100)).await {
            break answer;
        }
    };
    assert_eq!((answer.granted.len(), answer.refused.len()), (1, 0));
}

#[tokio::test]
async fn a_question_about_a_cancelled_job_is_refused() {
    let office = office().await;
    let (mut jobs, id) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let cancelled = office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
    assert_eq!(cancelled.status, 200);
    Asker::new(&office, "w").await.is_refused(&job).await;
}

#[tokio::test]
async fn a_forged_question_gets_no_answer_and_holds_up_no_other() {
    let office = office().await;
    let (mut jobs, _) = (Jobs::of(&office).await, office.job().await);
    let job = jobs.next().await;
    let forged = Job {
        correlation: "forged".to_owned(),
        ..job.clone()
    };
    let mut worker = Asker::new(&office, "w").await;
    worker.report(&[], &[&forged, &job]).await;
    let answer = worker.answer_within(LIMIT).await.unwrap();
    assert_eq!((answer.granted.len(), answer.refused.len()), (1, 0));
}
