//! Clients that ask as fast as they are answered, and what they saw.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::http::Connection;

/// What some clients saw.
pub(crate) struct Seen {
    pub(crate) count: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// How long the clients go on before they are counted.
const WARM: Duration = Duration::from_millis(500);

/// Lets `clients` send `request` to the addresses, in turn, for `span`; every answer must have
/// `status` and `mark` in its body.
pub(crate) async fn clients(
    addresses: &[String],
    clients: usize,
    request: &[u8],
    (status, mark): (u16, &'static str),
    span: Duration,
) -> Result<Seen, Box<dyn Error + Send + Sync>> {
    let begin = Instant::now() + WARM;
    let end = begin + span;
    let mut tasks: JoinSet<Result<Vec<Duration>, Box<dyn Error + Send + Sync>>> = JoinSet::new();
    for client in 0..clients {
        let address = addresses[client % addresses.len()].clone();
        let request = request.to_vec();
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut times = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                let answer = connection.ask(&request).await?;
                if answer.status != status || !answer.has(mark) {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(format!("answered {}: {body}", answer.status).into());
                }
                if asked >= begin {
                    times.push(asked.elapsed());
                }
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(task) = tasks.join_next().await {
        times.extend(task??);
    }
    Ok(seen(times, begin.elapsed()))
}

/// Sums up times that were taken within `span`.
pub(crate) fn seen(mut times: Vec<Duration>, span: Duration) -> Seen {
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    Seen {
        count: times.len(),
        per_second: times.len() as f64 / span.as_secs_f64(),
        p50: at(50),
        p99: at(99),
    }
}
