//! Clerks and workers are asked to end, in turn, under load.

use std::time::{Duration, Instant};

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, Load, Process, Proxy, Seen, Signal, System, Way, eventually};
use serde_json::json;

#[tokio::test]
async fn clerks_and_workers_end_in_turn_and_no_request_fails_and_nothing_runs_twice() {
    let plan = Kind::Fleet.plan();
    let journal = plan.journal("runs");
    let script = format!("{}; sleep 0.05; cat", journal.note());
    let mut system = plan.shell("work", 4, &script).start().await;
    system.add_worker(0).await;
    let mut all = Seen::default();
    for index in 0..2 {
        let load = Load::start(6, "work", &clerks_of(&system));
        load.accept(40).await;
        let ended = system.workers[index].terminate().await;
        assert!(ended.success(), "worker {index}: {ended}");
        load.accept(10).await;
        system.restart_worker(index).await;
        // The other clerk takes the requests that come from now on, as a load balancer would have it.
        let survivor = system.clerk(1 - index);
        system.clerks[index].process.signal(Signal::SIGTERM);
        let ended = system.clerks[index]
            .process
            .ended_within(Duration::from_secs(35))
            .await;
        assert!(ended.success(), "clerk {index}: {ended}");
        let seen = load.stop().await;
        // A draining clerk refuses with 503 or, once it no longer listens, not at all.
        for (status, kind) in &seen.refused {
            assert_eq!(
                (*status, kind.as_str()),
                (503, "urn:clerkwork:problem:unavailable")
            );
        }
        seen.all_succeed(&[survivor], Duration::from_secs(60)).await;
        all.accepted.extend(seen.accepted);
        system.restart_clerk(index).await;
    }
    let runs = journal.counts();
    for job in &all.accepted {
        assert_eq!(runs.get(&job.id.to_string()), Some(&1), "{}", job.id);
    }
}

#[tokio::test]
async fn a_worker_is_gone_in_time_though_its_broker_says_nothing_more() {
    let system = Kind::Fleet.plan().clerks(1).queue("work").start().await;
    let proxy = Proxy::start(system.broker()).await;
    let grace = ["--grace", "1s", "--broker", proxy.url()];
    let mut worker = system.program(&["worker", "--queue", "work"]);
    let script = "trap '' TERM; echo at work >&2; while :; do sleep 0.1; done";
    worker.args(grace).args(["--", "sh", "-c", script]);
    let mut worker = Process::start("worker", worker, system.folder());
    worker.line_with("work").await;
    let api = system.api();
    let job = api.send("work", json!(1)).await;
    eventually("it runs", Duration::from_secs(60), async || {
        (api.job(job.id).await.status == Status::Running).then_some(())
    })
    .await;
    proxy.set(Way::Silent);
    let asked = Instant::now();
    worker.terminate().await;
    // The grace and 5 s; closing the connections politely would take 9 s more, and waiting for the broker for ever.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(14), "it took {took:?}");
}

fn clerks_of(system: &System) -> Vec<Api> {
    (0..2).map(|index| system.clerk(index)).collect()
}
