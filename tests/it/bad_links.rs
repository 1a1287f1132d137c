//! Links that hand bytes on one at a time, or change some of them.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Api, Authority, Kind, Load, Proxy, Secure, System, Way, eventually};
use reqwest::{Method, Url};
use serde_json::json;

use crate::crash::{HEALED, clerks, refused_for_the_moment};
use crate::tls::{at, behind};

/// A worker that echoes what it gets through this broker.
async fn echo(system: &System, broker: &str) -> clerkwork_tests::Process {
    let words = ["worker", "--queue", "work*4", "--broker", broker];
    let mut worker = system.program(&words);
    worker.args(["--", "cat"]);
    let mut worker = system.run("worker", worker);
    worker.line_with("work").await;
    worker
}

async fn has_its_input_as_output(api: &Api, id: &str) {
    let input = api
        .json(Method::GET, &format!("/jobs/{id}/input"), None)
        .await;
    let output = api
        .json(Method::GET, &format!("/jobs/{id}/output"), None)
        .await;
    assert_eq!(input, output, "{id}");
}

#[tokio::test]
async fn over_links_that_hand_on_one_byte_at_a_time_everything_works() {
    let mut system = Kind::Fleet.plan().clerks(0).queue("work").start().await;
    let store = Proxy::start(&system.store()).await;
    let broker = Proxy::start(system.broker()).await;
    store.set(Way::Sliced);
    broker.set(Way::Sliced);
    let ways = ["--store", store.url(), "--broker", broker.url()];
    system.add_clerk_with(&ways).await;
    let _worker = echo(&system, broker.url()).await;
    let api = system.api();
    for length in [0, 1, 1_000, 4_000] {
        let input = json!("é".repeat(length));
        let job = api.run("work", input.clone()).await;
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
        assert_eq!(job.output.unwrap().get(), input.to_string());
    }
}

/// A way to a service that speaks TLS on this port.
async fn way(service: &Url, secure: &Secure) -> (Proxy, String) {
    let proxy = Proxy::start(at(service.clone(), secure.port).as_str()).await;
    let port = Url::parse(proxy.url()).unwrap().port().unwrap();
    let url = at(service.clone(), port).into();
    (proxy, url)
}

/// Without TLS nobody could tell.
#[tokio::test]
async fn by_tls_a_link_that_changes_bytes_costs_connections_and_no_job_and_changes_none() {
    const ROUNDS: usize = 4;
    const CHANGED: usize = 3;
    let trusted = Authority::new();
    let plan = Kind::Fleet.plan().clerks(0).queue("work");
    let plan = plan.clerk_setting("heartbeat", "500ms");
    let plan = plan.variable("SSL_CERT_FILE", trusted.file());
    let mut system = plan.start().await;
    let (mut store, plain) = behind(&system.store(), 5432);
    store.set_query(Some("sslmode=verify-full"));
    let secure_store = trusted.before_postgres(&plain, "localhost").await;
    let (mut broker, plain) = behind(system.broker(), 5672);
    broker.set_scheme("amqps").unwrap();
    let secure_broker = trusted.before(&plain, "localhost").await;
    let (store_way, store) = way(&store, &secure_store).await;
    let (broker_way, broker) = way(&broker, &secure_broker).await;
    for _ in 0..2 {
        let ways = ["--store", &store, "--broker", &broker];
        system.add_clerk_with(&ways).await;
    }
    let _workers = [echo(&system, &broker).await, echo(&system, &broker).await];
    let load = Load::start(8, "work", &clerks(&system));
    load.accept(40).await;
    for round in 1..=ROUNDS {
        for way in [&store_way, &broker_way] {
            way.set(Way::Changed);
            let changed = async || (way.changed() >= CHANGED * round).then_some(());
            eventually("bytes are changed", Duration::from_secs(30), changed).await;
            way.heal();
        }
        load.accept(20).await;
    }
    let seen = load.stop().await;
    refused_for_the_moment(&seen);
    seen.all_succeed(&clerks(&system), HEALED).await;
    for job in &seen.accepted {
        has_its_input_as_output(&system.api(), &job.id.to_string()).await;
    }
}
