//! How a worker ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clerkwork_broker::memory;
use clerkwork_core::{Clock, UnixMs, event};
use clerkwork_worker::{Cancelled, Error, JobError, Options, State, Worker};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Clerk, Door, Working, options};

async fn wait(how: String, State(door): State<Door>, stop: Cancelled) -> Result<(), JobError> {
    tokio::select! {
        () = door.pass() => Ok(()),
        () = stop.cancelled(), if how == "polite" => Err(JobError::new("stopped")),
    }
}

async fn fleet(door: &Door, grace: Duration) -> (Clerk, Working) {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "d", &["q"]).await;
    let settings = Options {
        grace,
        ..options("d")
    };
    let worker = Worker::new(door.clone())
        .queue("q", wait)
        .concurrency(2)
        .options(settings);
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    (clerk, working)
}

#[tokio::test]
async fn a_draining_worker_lets_what_runs_end_and_takes_nothing_more() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door, Duration::from_secs(60)).await;
    let first = clerk.submit("q", "\"x\"").await;
    door.somebody().await;
    working.shutdown.cancel();
    clerk.report(|report| report.worker.draining).await;
    clerk.submit("q", "\"x\"").await;
    door.open(2);
    assert!(matches!(
        clerk.outcome(&first).await,
        event::Reply::Succeeded { .. }
    ));
    assert!(working.health.borrow().draining);
    working.ended().await;
    assert_eq!((clerk.ready("q").await, door.waiting()), (1, 0));
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_given_back_as_returned() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door, Duration::from_millis(200)).await;
    let began = Instant::now();
    clerk.submit("q", "\"polite\"").await;
    clerk.submit("q", "\"deaf\"").await;
    door.somebody().await;
    door.somebody().await;
    working.shutdown.cancel();
    for _ in 0..2 {
        let outcome = clerk.reply().await.outcome(1).unwrap();
        assert!(matches!(outcome, event::Reply::Returned), "{outcome:?}");
    }
    working.ended().await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "grace and five seconds at most, on a machine that is not busy"
    );
    assert_eq!(clerk.ready("q").await, 0, "answered and acknowledged");
}

#[tokio::test]
async fn what_has_not_started_is_requeued_at_once() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door, Duration::from_secs(60)).await;
    door.open(40);
    for _ in 0..40 {
        clerk.submit("q", "\"x\"").await;
        clerk.reply().await;
        door.somebody().await;
    }
    for _ in 0..7 {
        clerk.submit("q", "\"x\"").await;
    }
    door.somebody().await;
    door.somebody().await;
    working.shutdown.cancel();
    clerk.report(|report| report.worker.draining).await;
    crate::support::eventually("requeued", async || clerk.ready("q").await == 5).await;
    door.open(2);
    clerk.reply().await;
    clerk.reply().await;
    working.ended().await;
    assert_eq!(clerk.ready("q").await, 5);
}

#[tokio::test]
async fn a_worker_waits_for_a_broker_without_clerks_and_ends_when_told() {
    let broker = memory::broker();
    let worker = Worker::new(Door::new())
        .queue("q", wait)
        .options(options("nobody"));
    let working = Working::start(worker, &broker);
    // No exchange, no queue: it tries again, and the first clerk is all it needs.
    let mut clerk = Clerk::new(broker.clone(), "nobody", &["q"]).await;
    clerk.greeted().await;
    working.stop().await;
}

/// A clock that stops being one.
#[derive(Debug, Default)]
struct Broken(AtomicBool);

impl Clock for Broken {
    fn now(&self) -> UnixMs {
        assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
        UnixMs(0)
    }
}

#[tokio::test]
async fn a_worker_whose_part_dies_drains_and_says_so() {
    let (broker, clock) = (memory::broker(), Arc::new(Broken::default()));
    let mut clerk = Clerk::new(broker.clone(), "d", &["q"]).await;
    let worker = Worker::new(Door::new()).queue("q", wait);
    let worker = worker.options(options("d")).clock(clock.clone());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(worker.run(broker, shutdown));
    clerk.greeted().await;
    clock.0.store(true, Ordering::Relaxed);
    clerk.submit("q", "\"x\"").await;
    let ended = timeout(Duration::from_secs(30), running).await.unwrap();
    let ended = ended.unwrap();
    assert!(
        matches!(&ended, Err(Error::Part(words)) if words.contains("broken")),
        "{ended:?}"
    );
}
