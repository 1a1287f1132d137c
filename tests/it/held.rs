//! Clients that wait: answered by any clerk, at little cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Api, Kind, Plan, Signal, System, claims, eventually, heavy};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How many requests are held at a time.
const HELD: usize = 2_000;

/// What one of them may cost a clerk.
const COST: u64 = 24 * 1024;

claims! {
    two_thousand_held_requests_cost_little_and_are_answered_when_their_jobs_end,
    two_thousand_held_requests_are_answered_when_the_clerk_drains,
    a_wait_ends_with_the_state_as_it_is,
}

#[tokio::test]
async fn a_client_waiting_on_one_clerk_gets_what_another_records() {
    let system = Kind::Fleet
        .plan()
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let (a, b) = (system.clerk(0), system.clerk(1));
    // Which clerk takes a reply is chance; of so many each takes some.
    let rounds = (0..40).map(|number| {
        let (at, on) = if number % 2 == 0 { (&a, &b) } else { (&b, &a) };
        async move {
            let job = at.send("echo", json!(number)).await;
            let begun = Instant::now();
            let job = on.ended(&job).await;
            assert_eq!(job.status, Status::Succeeded);
            assert_eq!(job.output.unwrap().get(), number.to_string());
            begun.elapsed()
        }
    });
    for waited in join_all(rounds).await {
        assert!(waited < Duration::from_secs(40), "waited for {waited:?}");
    }
}

async fn a_wait_ends_with_the_state_as_it_is(kind: Kind) {
    let system = kind.plan().queue("idle").start().await;
    let begun = Instant::now();
    let answer = system
        .api()
        .request(Method::POST, "/jobs")
        .header("Prefer", "wait=1")
        .json(&json!({"queue": "idle", "input": 1}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    assert_eq!(answer.headers()["Preference-Applied"], "wait=1");
    let waited = begun.elapsed();
    assert!(
        (1.0..30.0).contains(&waited.as_secs_f64()),
        "held for {waited:?}"
    );
    let job: JobObject = answer.json().await.unwrap();
    assert_eq!(job.status, Status::Queued);
}

async fn two_thousand_held_requests_cost_little_and_are_answered_when_their_jobs_end(kind: Kind) {
    let _core = heavy().await;
    let system = patient(kind).start().await;
    let held = hold(&system).await;
    let answer = system
        .clerk(1)
        .json(Method::POST, "/queues/idle/purge", None)
        .await;
    assert!(answer["cancelled"].as_u64().unwrap() > 0);
    let all = BTreeMap::from([("200 cancelled".to_owned(), HELD)]);
    assert_eq!(answers(held).await, all);
}

async fn two_thousand_held_requests_are_answered_when_the_clerk_drains(kind: Kind) {
    let _core = heavy().await;
    let mut system = patient(kind).start().await;
    let held = hold(&system).await;
    system.clerks[0].process.signal(Signal::SIGTERM);
    let all = BTreeMap::from([("200 queued".to_owned(), HELD)]);
    assert_eq!(answers(held).await, all);
    let status = system.clerks[0]
        .process
        .ended_within(Duration::from_secs(35))
        .await;
    assert!(status.success(), "{status}");
}

/// Holds so many requests for jobs of a paused queue on the first clerk, and looks at what they cost it.
/// A clerk that holds requests for longer than all of them take to come, on a slow machine.
fn patient(kind: Kind) -> Plan {
    kind.plan().queue("idle").clerk_setting("wait-max", "4m")
}

async fn hold(system: &System) -> Vec<JoinHandle<String>> {
    let api = system.api();
    api.json(Method::PUT, "/queues/idle", None).await;
    api.json(Method::PATCH, "/queues/idle", Some(json!({"paused": true})))
        .await;
    let jobs = join_all((0..50).map(|number| api.send("idle", json!(number)))).await;
    // What the first requests need, the code and the caches, is not what a held request costs.
    let warm = hold_each(&api, &jobs[..1], 100, 1, &Arc::default());
    answers(warm).await;
    let process = &system.clerks[0].process;
    let before = process.resident();
    let sent = Arc::default();
    let mut held = Vec::new();
    // In waves, so that what is measured is what held requests cost, not what all at once do.
    for wave in jobs.chunks(5) {
        held.extend(hold_each(&api, wave, HELD / jobs.len(), 240, &sent));
        eventually("the wave is held", Duration::from_secs(40), async || {
            (sent.load(Ordering::Relaxed) == held.len() && unread(&api) == 0).then_some(())
        })
        .await;
    }
    // All are read; an answered look shows that the clerk has come to the end of them.
    api.job(jobs[0].id).await;
    let cost = process.resident().saturating_sub(before) / HELD as u64;
    assert!(cost < COST, "a held request costs {cost} bytes");
    eprintln!("a held request costs {cost} bytes");
    held
}

/// Sends requests that wait so many seconds, on a connection each, and counts those that are sent.
fn hold_each(
    api: &Api,
    jobs: &[JobObject],
    times: usize,
    seconds: u32,
    sent: &Arc<AtomicUsize>,
) -> Vec<JoinHandle<String>> {
    let requests = jobs.iter().flat_map(|job| {
        (0..times).map(move |_| {
            let address = api.address();
            let request = format!(
                "GET /v1/jobs/{} HTTP/1.1\r\nHost: {address}\r\nPrefer: wait={seconds}\r\nConnection: close\r\n\r\n",
                job.id
            );
            answer(address.to_owned(), request, Arc::clone(sent))
        })
    });
    requests.map(tokio::spawn).collect()
}

/// What a request was answered with, in a word or two.
async fn answer(address: String, request: String, sent: Arc<AtomicUsize>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    sent.fetch_add(1, Ordering::Relaxed);
    let mut answer = String::new();
    if let Err(error) = stream.read_to_string(&mut answer).await {
        return format!("{error}");
    }
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return answer;
    };
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    match serde_json::from_str::<JobObject>(body) {
        Ok(job) => format!("{status} {}", job.status),
        Err(error) => format!("{status} {error}: {body}"),
    }
}

/// How often each answer was given.
async fn answers(held: Vec<JoinHandle<String>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in join_all(held).await {
        *counts.entry(answer.unwrap()).or_default() += 1;
    }
    counts
}

/// How much the kernel holds for the clerk that it has not taken yet: connections to accept, and bytes to read.
fn unread(api: &Api) -> u64 {
    let port: u16 = api.base().rsplit(':').next().unwrap().parse().unwrap();
    let local = format!(":{port:04X}");
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waiting = sockets.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let at = columns.next()?.ends_with(&local);
        let (_, received) = columns.nth(2)?.split_once(':')?;
        at.then(|| u64::from_str_radix(received, 16).ok())?
    });
    waiting.sum()
}
