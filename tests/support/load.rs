//! Clients that go on submitting and waiting while something is done to the system.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::api::Api;

/// For how long each submission asks to be held.
const WAIT_S: u64 = 2;

/// How much longer an answer may take: a clerk waits for three seconds for its turn and then for eleven until it says that it does
/// not know what the store did; and what a busy machine adds.
const SLACK: Duration = Duration::from_secs(26);

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The jobs that were accepted.
    pub accepted: Vec<JobObject>,
    /// The refusals: HTTP status and problem type.
    pub refused: Vec<(u16, String)>,
    /// How many requests got no answer, as when their clerk was killed.
    pub unanswered: usize,
    /// The longest that any request was held.
    pub longest: Duration,
    /// How many clients there were.
    clients: usize,
}

impl Load {
    /// Starts `clients` clients, which submit to `queue` through `clerks` in turn.
    #[must_use]
    pub fn start(clients: usize, queue: &str, clerks: &[Api]) -> Self {
        let stop = CancellationToken::new();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let clients = (0..clients).map(|number| {
            let client = Client {
                clerk: clerks[number % clerks.len()].clone(),
                queue: queue.to_owned(),
                seen: Arc::clone(&seen),
            };
            tokio::spawn(client.run(stop.clone()))
        });
        Self {
            clients: clients.collect(),
            stop,
            seen,
        }
    }

    /// How many jobs were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        lock(&self.seen).accepted.len()
    }

    /// Waits until so many more jobs were accepted.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub async fn accept(&self, more: usize) {
        let goal = self.accepted() + more;
        let what = format!("{more} more jobs are accepted");
        crate::eventually(&what, Duration::from_secs(60), async || {
            (self.accepted() >= goal).then_some(())
        })
        .await;
    }

    /// Stops the clients and tells what they saw.
    ///
    /// # Panics
    /// When one of them was held for longer than it asked for.
    pub async fn stop(self) -> Seen {
        self.stop.cancel();
        let clients = self.clients.len();
        for client in join_all(self.clients).await {
            client.expect("clients do not panic");
        }
        let mut seen = std::mem::take(&mut *lock(&self.seen));
        seen.clients = clients;
        let limit = Duration::from_secs(WAIT_S) + SLACK;
        assert!(
            seen.longest < limit,
            "a request was held for {:?}",
            seen.longest
        );
        seen
    }
}

impl Seen {
    /// Refused nothing, or nothing but what a short stall of a busy machine explains: the store cannot be written for two seconds,
    /// and whichever client waits for it is told so. That is no more than there are of them.
    ///
    /// # Panics
    /// If more was refused.
    pub fn refused_nothing_else(&self) {
        let refused = &self.refused;
        let stalled =
            |(status, kind): &(u16, String)| *status == 503 && kind.ends_with(":unavailable");
        let few = refused.len() <= self.clients && refused.iter().all(stalled);
        assert!(few, "{refused:?}");
    }

    /// Waits until every accepted job has succeeded, and checks that all clerks say the same, twice.
    ///
    /// # Panics
    /// When a job does not end, or not well, or not once.
    pub async fn all_succeed(&self, clerks: &[Api], limit: Duration) {
        let ends = self
            .accepted
            .iter()
            .map(|job| clerks[0].ended_within(job, limit));
        let ended = join_all(ends).await;
        for job in &ended {
            assert_eq!(job.status, Status::Succeeded, "{job:?}");
        }
        for clerk in clerks {
            for job in &ended {
                let again = clerk.job(job.id).await;
                assert_eq!(again.status, job.status, "{again:?}");
                assert_eq!(again.finished_at, job.finished_at, "{again:?}");
            }
        }
    }
}

struct Client {
    clerk: Api,
    queue: String,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    async fn run(self, stop: CancellationToken) {
        let mut number = 0;
        while !stop.is_cancelled() {
            number += 1;
            let asked = Instant::now();
            let request = self
                .clerk
                .request(Method::POST, "/jobs")
                .header("Prefer", format!("wait={WAIT_S}"))
                .json(&json!({"queue": self.queue, "input": number, "retry_delay_s": 0}));
            let answer = match request.send().await {
                Ok(answer) => {
                    let status = answer.status();
                    answer.text().await.map(|text| (status, text))
                }
                Err(error) => Err(error),
            };
            let held = asked.elapsed();
            let good = self.note(held, answer);
            sleep(Duration::from_millis(if good { 5 } else { 100 })).await;
        }
    }

    fn note(&self, held: Duration, answer: reqwest::Result<(reqwest::StatusCode, String)>) -> bool {
        let mut seen = lock(&self.seen);
        seen.longest = seen.longest.max(held);
        match answer {
            Ok((status, text)) if status.is_success() => {
                let job = serde_json::from_str(&text).expect("the answer is a job");
                seen.accepted.push(job);
                return true;
            }
            Ok((status, text)) => {
                let problem = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
                let kind = problem["type"].as_str().unwrap_or_default().to_owned();
                seen.refused.push((status.as_u16(), kind));
            }
            Err(_) => seen.unanswered += 1,
        }
        false
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
