//! What is measured, scene by scene.

use std::error::Error;
use std::time::{Duration, Instant};

use clerkwork_core::{JobId, JobObject};
use clerkwork_tests::{Kind, Process, Services, System, example};
use tokio::process::Command;

use crate::bare;
use crate::cpu;
use crate::http::{Answer, Connection, get, held, submission};
use crate::load::{self, Seen};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// How long the clients of one scene ask.
const SPAN: Duration = Duration::from_secs(4);
/// The jobs of a drain.
const DRAIN: usize = 50_000;
/// The jobs that wait while accepting is measured again.
const WAITING: usize = 200_000;
/// What an answer to a submission must be: done, and right.
const DONE: (u16, &str) = (200, r#""AAAA"#);
const ACCEPTED: (u16, &str) = (202, r#""status":"queued""#);

/// Prints the bare loop; returns its rate at 64 callers.
pub(crate) async fn bare() -> Result<f64, Failure> {
    let url = Services::shared().rabbit;
    let mut rate = 0.0;
    for clients in [1, 64] {
        let seen = bare::round_trips(&url, clients, SPAN).await?;
        row(&format!("bare RPC loop, {clients} callers"), &seen, None);
        rate = seen.per_second;
    }
    Ok(rate)
}

/// One process: clerk, queue, record and handler.
pub(crate) async fn embedded() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(example("embedded_upper"));
    command
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"));
    let mut process = Process::start("embedded", command, folder.path());
    let address = address_of(&process.line_with("http://").await);
    let (addresses, pids) = ([address], [process.pid()]);
    round_trips("embedded", &addresses, &pids).await?;
    accepts("embedded", &addresses, &pids).await
}

/// One clerk and one worker on RabbitMQ and PostgreSQL; returns the rate at 64 clients.
pub(crate) async fn fleet() -> Result<f64, Failure> {
    let mut fleet = Fleet::start(1).await;
    fleet.start_worker().await;
    let rate = round_trips("fleet", &fleet.addresses, &fleet.pids()).await?;
    accepts("fleet", &fleet.addresses, &fleet.pids()).await?;
    Ok(rate)
}

/// The time from a worker's start until the last of many waiting jobs is done.
pub(crate) async fn drain() -> Result<(), Failure> {
    let mut fleet = Fleet::start(1).await;
    let last = fill(&fleet.addresses[0], "upper", DRAIN).await?;
    let used = cpu::used(&fleet.pids());
    let begin = Instant::now();
    fleet.start_worker().await;
    // Waiting for the last ones costs the store nothing; counting what is left would.
    let mut connection = Connection::open(&fleet.addresses[0]).await?;
    for job in last {
        let held = held(&format!("/v1/jobs/{job}"));
        while !connection.ask(&held).await?.has(r#""done":true"#) {}
    }
    let empty = r#""queued":0,"running":0,"scheduled":0"#;
    while !connection.ask(&get("/v1/queues/upper")).await?.has(empty) {}
    let taken = begin.elapsed();
    let used = cpu::used(&fleet.pids()).saturating_sub(used);
    println!(
        "| fleet, drain of {DRAIN} | {:.0} | | | {:.1} |",
        DRAIN as f64 / taken.as_secs_f64(),
        used.as_secs_f64() * 1e6 / DRAIN as f64
    );
    Ok(())
}

/// Whether accepting costs the same with many jobs waiting as with none.
pub(crate) async fn backlog() -> Result<(), Failure> {
    let fleet = Fleet::start(1).await;
    let request = submission("upper", false);
    let none = load::clients(&fleet.addresses, 64, &request, ACCEPTED, SPAN).await?;
    row("fleet, accept, few waiting", &none, None);
    fill(
        &fleet.addresses[0],
        "upper",
        WAITING.saturating_sub(none.count),
    )
    .await?;
    let many = load::clients(&fleet.addresses, 64, &request, ACCEPTED, SPAN).await?;
    row(
        &format!("fleet, accept, over {WAITING} waiting"),
        &many,
        None,
    );
    let ratio = many.p99.as_secs_f64() / none.p99.as_secs_f64();
    println!("\np99 with {WAITING} waiting is {ratio:.2} times the p99 with few.");
    Ok(())
}

async fn round_trips(name: &str, addresses: &[String], pids: &[i32]) -> Result<f64, Failure> {
    let request = submission("upper", true);
    let mut rate = 0.0;
    for clients in [1, 64] {
        let used = cpu::used(pids);
        let seen = load::clients(addresses, clients, &request, DONE, SPAN).await?;
        let used = cpu::used(pids).saturating_sub(used);
        row(
            &format!("{name}, round trip, {clients} clients"),
            &seen,
            Some(used),
        );
        rate = seen.per_second;
    }
    Ok(rate)
}

async fn accepts(name: &str, addresses: &[String], pids: &[i32]) -> Result<(), Failure> {
    let mut connection = Connection::open(&addresses[0]).await?;
    let body = "PUT /v1/queues/idle HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n";
    connection.ask(body.as_bytes()).await?;
    let request = submission("idle", false);
    let used = cpu::used(pids);
    let seen = load::clients(addresses, 64, &request, ACCEPTED, SPAN).await?;
    let used = cpu::used(pids).saturating_sub(used);
    row(&format!("{name}, accept, 64 clients"), &seen, Some(used));
    Ok(())
}

/// Submits jobs until so many wait; returns the last ones.
async fn fill(address: &str, queue: &str, jobs: usize) -> Result<Vec<JobId>, Failure> {
    let request = submission(queue, false);
    let mut tasks = tokio::task::JoinSet::new();
    const CLIENTS: usize = 64;
    for client in 0..CLIENTS {
        let (address, request) = (address.to_owned(), request.clone());
        let mine = jobs / CLIENTS + usize::from(client < jobs % CLIENTS);
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            for _ in 1..mine {
                accepted(&connection.ask(&request).await?)?;
            }
            let answer = connection.ask(&request).await?;
            accepted(&answer)?;
            let job: JobObject = serde_json::from_slice(answer.body)?;
            Ok::<_, Failure>(job.id)
        });
    }
    let mut last = Vec::with_capacity(CLIENTS);
    while let Some(task) = tasks.join_next().await {
        last.push(task??);
    }
    Ok(last)
}

fn accepted(answer: &Answer<'_>) -> Result<(), Failure> {
    if answer.status == ACCEPTED.0 {
        Ok(())
    } else {
        Err(format!("answered {}", answer.status).into())
    }
}

/// A fleet under measurement.
struct Fleet {
    addresses: Vec<String>,
    worker: Option<Process>,
    system: System,
}

impl Fleet {
    async fn start(clerks: usize) -> Self {
        let system = Kind::Fleet
            .plan()
            .clerks(clerks)
            .queue("upper")
            .queue("idle")
            .start()
            .await;
        let addresses = system
            .clerks
            .iter()
            .map(|clerk| address_of(clerk.api.base()))
            .collect();
        Self {
            addresses,
            worker: None,
            system,
        }
    }

    async fn start_worker(&mut self) {
        let mut command = Command::new(example("upper_worker"));
        command.args(["--queue", "upper", "--concurrency", "16"]);
        let mut worker = self.system.run("upper_worker", command);
        worker.line_with("upper").await;
        self.worker = Some(worker);
    }

    fn pids(&self) -> Vec<i32> {
        let clerks = self.system.clerks.iter().map(|clerk| clerk.process.pid());
        clerks
            .chain(self.worker.as_ref().map(Process::pid))
            .collect()
    }
}

fn address_of(line: &str) -> String {
    let after = line
        .rsplit_once("http://")
        .map_or(line, |(_, address)| address);
    after
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned()
}

/// One row of the table; `used` is the processor time of our own processes.
fn row(name: &str, seen: &Seen, used: Option<Duration>) {
    // The warm-up used its share too.
    let jobs = seen.count as f64 * (SPAN.as_secs_f64() + 0.5) / SPAN.as_secs_f64();
    let cpu = used.map_or(String::new(), |used| {
        format!("{:.1}", used.as_secs_f64() * 1e6 / jobs)
    });
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {name} | {:.0} | {:.2} | {:.2} | {cpu} |",
        seen.per_second,
        ms(seen.p50),
        ms(seen.p99)
    );
}
