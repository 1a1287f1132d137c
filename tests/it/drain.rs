//! Clerks and workers are asked to end, in turn, under load.

use std::time::Duration;

use clerkwork_tests::{Api, Kind, Load, Seen, Signal, System};

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

fn clerks_of(system: &System) -> Vec<Api> {
    (0..2).map(|index| system.clerk(index)).collect()
}
