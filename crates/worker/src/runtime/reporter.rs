//! Reports: that the worker lives, what it has in hand, and what its attempts tell.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Message;
use clerkwork_faults::{Point, reach};
use clerkwork_wire::v1::{Does, Held, Report, WorkerInfo};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use crate::teller::{PACE, Ring};

/// Even what is wanted at once is not sent more often.
const SHORTEST: Duration = Duration::from_millis(5);
/// A worker that no clerk has greeted asks again this often.
const UNGREETED: Duration = Duration::from_secs(1);
/// So does one that asks whether it may start a job.
const UNANSWERED: Duration = Duration::from_millis(500);
/// How long the last report may take.
const LAST: Duration = Duration::from_millis(250);

/// Reports until told to stop.
pub(super) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let mut last: Option<Instant> = None;
    let mut asks = false;
    loop {
        let wait = match desk.outbox.bell.level() {
            Ring::AtOnce => Duration::ZERO,
            Ring::Now => SHORTEST,
            Ring::Soon => PACE,
            Ring::Idle if asks => desk.options.heartbeat.min(UNANSWERED),
            Ring::Idle if desk.orders.borrow().greeted => desk.options.heartbeat,
            Ring::Idle => desk.options.heartbeat.min(UNGREETED),
        };
        let due = last.map_or_else(Instant::now, |last| last + wait);
        if Instant::now() < due {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(due) => {}
                () = desk.outbox.bell.rung() => {}
            }
            continue;
        }
        last = Some(Instant::now());
        // Also where nothing is sent: a new control queue rings again, and until then nobody waits.
        desk.outbox.bell.silence();
        // Without a control queue nobody could answer, but leases are renewed all the same.
        if !desk.control_queue().is_empty() || !desk.hands.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                asking = send(&desk) => asks = asking,
            }
        }
    }
}

/// The last report of a worker that ends.
pub(super) async fn last(desk: &Desk) {
    if timeout(LAST, send(desk)).await.is_err() {
        tracing::debug!("the last report did not go out");
    }
}

/// Sends a report; whether it asks.
async fn send(desk: &Desk) -> bool {
    let report = compose(desk);
    let asks = !report.asking.is_empty();
    let asks_to_hold = report.in_hand.iter().any(|hand| hand.held == Held::Asked);
    let envelope = report.encode();
    let (exchange, key) = (desk.names.replies(), desk.names.reports());
    desk.broker
        .send(vec![Message {
            exchange,
            key,
            durable: false,
            envelope,
        }])
        .await;
    if asks_to_hold {
        reach(Point::WorkerAfterHeldReport);
    }
    asks
}

fn compose(desk: &Desk) -> Report {
    let (greeted, draining) = {
        let orders = desk.orders.borrow();
        (orders.greeted, orders.draining)
    };
    let now = Instant::now();
    let (mut in_hand, mut asking) = (Vec::new(), Vec::new());
    desk.hands.each(|hand| {
        in_hand.extend(hand.list(now));
        asking.extend(hand.question().map(str::to_owned));
    });
    let queues = desk.entries.iter().map(|entry| {
        (
            entry.queue.as_ref().to_owned(),
            u32::try_from(entry.concurrency).unwrap_or(u32::MAX),
        )
    });
    let worker = WorkerInfo {
        id: desk.id.clone(),
        host: desk.host.clone(),
        pid: std::process::id(),
        sdk: desk.options.sdk.clone(),
        version: desk.options.version.clone(),
        control: desk.control_queue(),
        does: vec![Does::Ask, Does::Hold, Does::Cancel],
        queues: queues.collect(),
        missing: desk.health.borrow().missing.clone(),
        cannot_start: desk.health.borrow().cannot_start.clone(),
        greeted,
        draining,
        every_ms: u64::try_from(desk.options.heartbeat.as_millis()).unwrap_or(u64::MAX),
    };
    let seq = desk
        .reports
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        + 1;
    Report {
        worker,
        seq,
        in_hand,
        asking,
        events: desk.outbox.take(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use clerkwork_broker::memory;
    use clerkwork_core::SystemClock;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::Options;
    use crate::runtime::Parts;

    fn unconnected() -> Arc<Desk> {
        let parts = Parts {
            options: Options::default(),
            entries: Vec::new(),
            broker: memory::broker(),
            clock: Arc::new(SystemClock::new()),
            health: watch::Sender::default(),
        };
        Arc::new(Desk::new(parts, mpsc::channel(1).0))
    }

    #[test]
    fn a_report_that_is_wanted_at_once_and_cannot_be_sent_lets_others_run() {
        let (says, told) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (desk, stop) = (unconnected(), CancellationToken::new());
                desk.outbox.bell.ring(Ring::AtOnce);
                let reporting = tokio::spawn(run(desk, stop.clone()));
                tokio::task::yield_now().await;
                stop.cancel();
                reporting.await.unwrap();
            });
            says.send(()).unwrap();
        });
        let ended = told.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Ok(()), "it keeps the thread to itself");
    }
}
