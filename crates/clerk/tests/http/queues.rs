//! Queues.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::Request;
use clerkwork_broker::{Message, Queue, QueueKind};
use clerkwork_clerk::Config;
use clerkwork_core::{JobId, Standing, State, UnixMs};
use clerkwork_faulty::{Call, Way, over};
use clerkwork_store::{Error, NewJob, Store, sqlite};
use clerkwork_wire::Names;
use clerkwork_wire::v1::{Report, WorkerInfo};
use serde_json::json;

use crate::support::{Office, Told, confirmed, repeat, request};

async fn patch(office: &Office, queue: &str, body: &'static str) -> Told {
    let request = Request::patch(format!("/v1/queues/{queue}"));
    let request = request.header("content-type", "application/json");
    office.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_queue_is_declared_once_and_then_takes_jobs() {
    let office = Office::open().await;
    let refused = office.submit(r#"{"queue":"new","input":1}"#).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (404, "unknown-queue")
    );
    assert_eq!(office.call("PUT", "/v1/queues/new").await.status, 201);
    let again = office.send(request("PUT", "/v1/queues/new", "{}")).await;
    assert_eq!(again.status, 200);
    assert_eq!(
        office.submit(r#"{"queue":"new","input":1}"#).await.status,
        202
    );
    let mut queue = office.get("/v1/queues/new").await.json();
    assert_eq!(queue["queued"], 1);
    // It tells the time.
    assert!(queue["oldest_queued_s"].take().is_u64());
    let told = serde_json::json!({"queue": "new", "paused": false, "queued": 1, "running": 0,
        "scheduled": 0, "oldest_queued_s": null, "workers": 0});
    assert_eq!(queue, told);
}

#[tokio::test]
async fn a_queue_without_jobs_has_no_oldest_one() {
    let office = Office::open().await;
    let queues = office.get("/v1/queues").await.json()["queues"].clone();
    assert_eq!(queues.as_array().unwrap().len(), 1);
    assert!(queues[0]["oldest_queued_s"].is_null());
}

#[tokio::test]
async fn a_submission_creates_its_queue_where_it_may() {
    let office = Office::with(|config| config.create_queues = true).await;
    assert_eq!(
        office.submit(r#"{"queue":"new","input":1}"#).await.status,
        202
    );
}

#[tokio::test]
async fn a_paused_queue_says_so_and_can_go_on() {
    let office = Office::open().await;
    let told = patch(&office, "q", r#"{"paused":true}"#).await;
    assert_eq!(
        (told.status.as_u16(), &told.json()["paused"]),
        (200, &true.into())
    );
    let job = office.submit(r#"{"queue":"q","input":1}"#).await.json();
    assert_eq!(job["note"], "queue q is paused");
    let told = patch(&office, "q", r#"{"paused":false}"#).await;
    assert_eq!(told.json()["paused"], false);
}

#[tokio::test]
async fn a_purge_cancels_what_waits_and_counts_it() {
    let office = Office::open().await;
    patch(&office, "q", r#"{"paused":true}"#).await;
    let id = office.job().await;
    office
        .submit(r#"{"queue":"q","input":1,"delay_s":99}"#)
        .await;
    let told = office.call("POST", "/v1/queues/q/purge").await;
    assert_eq!(told.json(), serde_json::json!({"cancelled": 2}));
    let job = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(job["status"], "cancelled");
    let told = office.call("POST", "/v1/queues/q/purge").await;
    assert_eq!(told.json(), serde_json::json!({"cancelled": 0}));
}

#[tokio::test]
async fn what_is_asked_of_a_queue_must_fit() {
    let office = Office::open().await;
    for body in ["{}", r#"{"paused":1}"#, r#"{"paused":true,"x":1}"#, "[]"] {
        assert_eq!(patch(&office, "q", body).await.status, 422, "{body}");
    }
    assert_eq!(patch(&office, "q", "{").await.status, 400);
    assert_eq!(office.call("PATCH", "/v1/queues/q").await.status, 415);
    for body in [r#"{"paused":true}"#, "[]"] {
        assert_eq!(
            office
                .send(request("PUT", "/v1/queues/q", body))
                .await
                .status,
            422
        );
    }
    for name in ["Q", "a%20b", "-a"] {
        assert_eq!(
            office
                .call("PUT", &format!("/v1/queues/{name}"))
                .await
                .status,
            422,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_queue_that_nobody_declared_is_unknown() {
    let office = Office::with(|config| config.create_queues = true).await;
    for queue in ["nobody", "Q!", "%ff"] {
        let path = format!("/v1/queues/{queue}");
        let purge = office.call("POST", &format!("{path}/purge")).await;
        let pause = patch(&office, queue, r#"{"paused":true}"#).await;
        for told in [office.get(&path).await, purge, pause] {
            assert_eq!(
                (told.status.as_u16(), &*told.problem()),
                (404, "unknown-queue"),
                "{queue}"
            );
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_declares_none_of_its_queues() {
    let office = Office::with(|config| {
        config.create_queues = true;
        config.rate_submit = Some(1);
    })
    .await;
    let send = async |queue: &str| {
        let body = format!(r#"{{"jobs":[{{"queue":"{queue}","input":1}}]}}"#);
        let mut batch = request("POST", "/v1/jobs/batch", &body);
        let json = "application/json".parse().unwrap();
        batch.headers_mut().insert("content-type", json);
        office.send(batch).await.status.as_u16()
    };
    let mut refused = None;
    for number in 0..50 {
        let queue = format!("new-{number}");
        if send(&queue).await == 429 {
            refused = Some(queue);
            break;
        }
    }
    let refused = refused.expect("more were sent than the rate lets through");
    let told = office.get(&format!("/v1/queues/{refused}")).await;
    assert_eq!(told.status, 404);
    assert_eq!(office.get("/v1/queues/new-0").await.status, 200);
}

#[tokio::test]
async fn a_queue_is_deleted_once_it_has_no_unfinished_jobs() {
    let office = Office::open().await;
    assert_eq!(office.call("PUT", "/v1/queues/old").await.status, 201);
    let job = r#"{"queue":"old","input":1,"delay_s":3600}"#;
    assert_eq!(office.submit(job).await.status, 202);
    let refused = office.call("DELETE", "/v1/queues/old").await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (409, "queue-not-empty")
    );
    office.call("POST", "/v1/queues/old/purge").await;
    assert_eq!(office.call("DELETE", "/v1/queues/old").await.status, 204);
    for told in [
        office.call("DELETE", "/v1/queues/old").await,
        office.get("/v1/queues/old").await,
        office.submit(job).await,
    ] {
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (404, "unknown-queue")
        );
    }
    let name = Names::new(&Config::default().prefix).jobs("old");
    assert_eq!(office.broker.look(&name).await, Ok(None));
}

#[tokio::test]
async fn a_queue_that_exists_with_other_arguments_is_not_declared() {
    let office = Office::open().await;
    let hints = Queue {
        name: Names::new(&Config::default().prefix).jobs("other"),
        kind: QueueKind::Hints,
        exchange: None,
        dead_letters: None,
    };
    office.broker.declare(&hints).await.unwrap();
    for _ in 0..2 {
        let refused = office.call("PUT", "/v1/queues/other").await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.problem()),
            (409, "queue-mismatch")
        );
    }
    assert_eq!(office.get("/v1/queues/other").await.status, 404);
    assert_eq!(office.broker.delete(&hints.name).await, Ok(true));
    assert_eq!(office.call("PUT", "/v1/queues/other").await.status, 201);
}

#[tokio::test]
async fn a_job_for_a_new_queue_that_the_broker_refuses_is_refused() {
    let office = Office::with(|config| config.create_queues = true).await;
    let hints = Queue {
        name: Names::new(&Config::default().prefix).jobs("other"),
        kind: QueueKind::Hints,
        exchange: None,
        dead_letters: None,
    };
    office.broker.declare(&hints).await.unwrap();
    let job = r#"{"queue":"other","input":1}"#;
    for _ in 0..2 {
        let refused = office.submit(job).await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.problem()),
            (409, "queue-mismatch")
        );
    }
    assert_eq!(office.get("/v1/queues/other").await.status, 404);
    assert_eq!(office.get("/v1/jobs").await.json()["jobs"], json!([]));
    let ready = office.get("/readyz").await.json();
    assert!(ready.to_string().contains(&hints.name), "{ready}");
    assert_eq!(office.broker.delete(&hints.name).await, Ok(true));
    assert_eq!(office.submit(job).await.status, 202);
    let ready = office.get("/readyz").await.json();
    assert!(!ready.to_string().contains(&hints.name), "{ready}");
}

/// A way on which a job of the queue `old` comes in while the queue is deleted.
#[derive(Clone, Debug, Default)]
struct Meanwhile {
    store: Arc<OnceLock<Arc<dyn Store>>>,
    job: Arc<OnceLock<NewJob>>,
}

impl Way for Meanwhile {
    async fn call<T, F>(&self, call: Call, work: impl Fn() -> F + Send + Sync) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let done = work().await;
        if call.what == "delete queue"
            && let (Some(store), Some(job)) = (self.store.get(), self.job.get())
        {
            let mut writer = store.writer("another clerk").await?;
            writer.accept(std::slice::from_ref(job)).await?;
        }
        done
    }
}

#[tokio::test]
async fn a_queue_that_gets_a_job_while_it_is_deleted_is_known_again() {
    for is_dispatched in [true, false] {
        let (way, store) = (Meanwhile::default(), sqlite::memory().await.unwrap());
        let office = Office::over(over(way.clone(), store.clone()), |_| ()).await;
        // As many as reports may add, which jobs do not count among.
        for number in 0..1_000 {
            let name = format!("w{number}").parse().unwrap();
            let now = UnixMs(1);
            store.declare_queues(&[name], now).await.unwrap();
        }
        assert_eq!(office.call("PUT", "/v1/queues/old").await.status, 201);
        let told = office
            .submit(r#"{"queue":"old","input":1,"delay_s":3600}"#)
            .await;
        let id = told.id().parse().unwrap();
        let mut job = store.get(None, &[id], 0).await.unwrap().remove(0).job;
        office.call("POST", "/v1/queues/old/purge").await;
        job.id = JobId::at(job.created_at);
        job.standing = Standing::new(job.created_at, job.created_at);
        if is_dispatched {
            job.standing.state = State::Dispatched;
            job.standing.attempt = 1;
        }
        let input = "1".into();
        let new = NewJob {
            job,
            input,
            key: None,
            batch: None,
        };
        way.job.set(new).unwrap();
        way.store.set(store).unwrap();
        assert_eq!(office.call("DELETE", "/v1/queues/old").await.status, 204);
        office
            .until("/v1/queues/old", |told| told.status == 200)
            .await;
    }
}

#[tokio::test]
async fn workers_add_a_thousand_queues_and_no_more() {
    let office = Office::open().await;
    let report = async |number: u32| {
        let names = (0..256).map(|queue| (format!("w{number}.{queue}"), 1));
        let worker = WorkerInfo {
            id: format!("worker {number}"),
            queues: names.collect(),
            greeted: true,
            ..WorkerInfo::default()
        };
        let report = Report {
            worker,
            ..Report::default()
        };
        let message = Message {
            exchange: String::new(),
            key: Names::new(&Config::default().prefix).reports(),
            durable: false,
            envelope: report.encode(),
        };
        confirmed(&*office.broker, message).await;
    };
    let count = |told: &Told| told.json()["queues"].as_array().map_or(0, Vec::len);
    for number in 0..5 {
        report(number).await;
        let most = (1 + 256 * (number as usize + 1)).min(1_000);
        let list = async || office.get("/v1/queues").await;
        repeat("the queues", list, |told| count(told) == most).await;
    }
    assert_eq!(office.call("PUT", "/v1/queues/declared").await.status, 201);
    report(5).await;
    let worker = async || office.get("/v1/workers").await;
    repeat("the workers", worker, |told| {
        told.json()["workers"].as_array().map_or(0, Vec::len) == 6
    })
    .await;
    assert_eq!(count(&office.get("/v1/queues").await), 1_001);
}
