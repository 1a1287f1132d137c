//! What a worker tells its supervisor, over its life.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, Process, Signal, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(20);

/// A client of the address that a worker with `--health-listen 127.0.0.1:0` has taken.
async fn health(worker: &Process) -> Api {
    let address = eventually("the worker tells where", SOON, async || {
        let log = worker.complaints();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let told = lines
            .into_iter()
            .find(|line: &Value| line["message"] == "the worker's health is served");
        told?["address"].as_str().map(str::to_owned)
    })
    .await;
    Api::new(&format!("http://{address}"))
}

#[tokio::test]
async fn a_worker_is_ready_while_it_takes_jobs_and_lives_to_the_end_of_its_drain() {
    let plan = Kind::Fleet.plan().clerks(1);
    let gate = plan.file("gate");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.05; done", gate.display());
    let plan = plan
        .shell("slow", 1, &script)
        .worker_setting("health-listen", "127.0.0.1:0");
    let mut system = plan.start().await;
    let health = health(&system.workers[0]).await;
    let ready = json!({"greeted": true, "missing": [], "cannot_start": {}, "draining": false});
    assert_eq!(health.look("/readyz").await, Some((200, ready)));
    let alive = Some((200, json!({"status": "alive"})));
    assert_eq!(health.look("/healthz").await, alive);

    let job = system.api().send("slow", json!(1)).await;
    eventually("the job runs", SOON, async || {
        let job = system.api().job(job.id).await;
        (job.status == Status::Running).then_some(())
    })
    .await;
    system.workers[0].signal(Signal::SIGTERM);
    eventually("it is ready no more", SOON, async || {
        let (status, told) = health.look("/readyz").await?;
        (status == 503 && told["draining"] == true).then_some(())
    })
    .await;
    assert_eq!(health.look("/healthz").await, alive, "it still works");
    std::fs::write(gate, "").unwrap();
    let ended = system.workers[0].ended_within(SOON).await;
    assert!(ended.success(), "{ended}");
    assert_eq!(health.look("/healthz").await, None);
    assert_eq!(system.api().ended(&job).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_worker_whose_broker_is_away_lives_and_is_not_ready() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = format!("amqp://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let words = ["worker", "--queue", "q", "--health-listen", "127.0.0.1:0"];
    let mut command = system.program(&words);
    command.args(["--broker", &broker, "--", "cat"]);
    let mut worker = system.run("worker", command);
    let health = health(&worker).await;
    let not_ready = json!({"greeted": false, "missing": [], "cannot_start": {}, "draining": false});
    assert_eq!(health.look("/readyz").await, Some((503, not_ready)));
    let alive = json!({"status": "alive"});
    assert_eq!(health.look("/healthz").await, Some((200, alive)));
    assert!(worker.terminate().await.success());
    assert_eq!(health.look("/healthz").await, None);
}
