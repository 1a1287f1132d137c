//! Clients that go away in the middle of a submission leave nothing half-done behind.

use std::collections::BTreeSet;
use std::time::Duration;

use clerkwork_core::JobObject;
use clerkwork_tests::{Api, Kind, eventually, heavy};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Clients at a time, and how often each comes.
const CLIENTS: u64 = 50;
const TIMES: u64 = 200;
/// The longest that one of them waits, in microseconds; some are answered by then, most are not.
const PATIENCE: u64 = 40_000;
/// How long those wait who want an answer.
const PATIENT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn ten_thousand_clients_that_go_away_leave_no_transaction_open_and_no_half_job() {
    let _core = heavy().await;
    let system = Kind::Fleet.plan().queue("idle").clerks(1).start().await;
    let api = system.api();
    let visits = (0..CLIENTS).map(|client| {
        let address = api.address().to_owned();
        tokio::spawn(async move {
            let mut accepted = Vec::new();
            let mut chance = client + 1;
            for time in 0..TIMES {
                // Knuth's generator: the same run each time.
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let patience = match time % 8 {
                    0 => PATIENT,
                    _ => Duration::from_micros((chance >> 33) % PATIENCE),
                };
                let number = client * TIMES + time;
                accepted.extend(visit(&address, number, patience).await);
            }
            accepted
        })
    });
    let mut accepted = BTreeSet::new();
    for visit in join_all(visits).await {
        accepted.extend(visit.unwrap());
    }
    let all = CLIENTS * TIMES;
    let count = accepted.len() as u64;
    assert!((all / 100..all).contains(&count), "{count} were answered");
    eprintln!("{count} of {all} were answered before they went away");
    let mut session = PgConnection::connect(&system.store()).await.unwrap();
    let fresh = api.send("idle", json!("fresh")).await;
    let here = "select count(*) from jobs where id = $1";
    let here = sqlx::query_scalar::<_, i64>(here).bind(fresh.id.uuid());
    assert_eq!(here.fetch_one(&mut session).await.unwrap(), 1);
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    eventually(
        "no transaction is open",
        Duration::from_secs(10),
        async || {
            let open = sqlx::query_scalar::<_, i64>(open);
            (open.fetch_one(&mut session).await.unwrap() == 0).then_some(())
        },
    )
    .await;
    let ids = "select id::text from jobs";
    let ids: Vec<String> = sqlx::query_scalar(ids)
        .fetch_all(&mut session)
        .await
        .unwrap();
    let ids: BTreeSet<String> = ids.into_iter().collect();
    assert!(accepted.is_subset(&ids), "what was answered is there");
    assert!(ids.len() as u64 <= all + 1, "{} jobs", ids.len());
    let sample: Vec<&String> = ids.iter().step_by(97).collect();
    for id in sample {
        whole(&api, id).await;
    }
}

/// A job is there with its input.
async fn whole(api: &Api, id: &str) {
    let job: JobObject = api.job(id).await;
    let (_, input) = api.bytes(&format!("/jobs/{id}/input")).await;
    assert_eq!(input.len() as u64, job.input_size, "{job:?}");
    serde_json::from_slice::<Value>(&input).unwrap();
}

/// Submits a job and goes away after a while; the job's id, if it was answered by then.
async fn visit(address: &str, number: u64, patience: Duration) -> Option<String> {
    let mut client = TcpStream::connect(address).await.ok()?;
    let body = json!({"queue": "idle", "input": number}).to_string();
    // Every second one takes the way of a transaction with several statements.
    let key = match number % 2 {
        0 => String::new(),
        _ => format!("Idempotency-Key: \"gone-{number}\"\r\n"),
    };
    let request = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{key}\r\n{body}",
        body.len()
    );
    let talk = async {
        client.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        loop {
            if client.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(job) = serde_json::from_str::<Value>(body)
            {
                // A clerk whose store is busy refuses, and has done nothing then.
                if job["type"] == "urn:clerkwork:problem:unavailable" {
                    assert!(head.starts_with("HTTP/1.1 503"), "{text}");
                    return None;
                }
                assert!(head.starts_with("HTTP/1.1 202"), "{text}");
                return Some(job["id"].as_str()?.to_owned());
            }
        }
    };
    timeout(patience, talk).await.ok().flatten()
}
