//! What a worker reports.

use std::time::{Duration, Instant};

use clerkwork_broker::memory;
use clerkwork_wire::v1::{Does, EventKind, Held};
use clerkwork_worker::{JobError, Level, Progress, State, Worker};

use crate::support::{Clerk, Door, Working, eventually, options};

async fn wait((): (), State(door): State<Door>) -> Result<(), JobError> {
    door.pass().await;
    Ok(())
}

#[tokio::test]
async fn a_report_says_who_the_worker_is_and_what_it_does() {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "r", &["q", "w"]).await;
    let worker = Worker::new(Door::new()).queue("q", wait).queue("w", wait);
    let worker = worker
        .concurrency(3)
        .concurrency_of("w", 5)
        .options(options("r"));
    let working = Working::start(worker, &broker);
    let first = clerk.report(|_| true).await;
    let second = clerk.greeted().await;
    assert!(second.seq > first.seq);
    assert_eq!(first.worker.id, second.worker.id);
    let worker = second.worker;
    assert_eq!(worker.does, [Does::Ask, Does::Hold, Does::Cancel]);
    let queues: Vec<_> = worker
        .queues
        .iter()
        .map(|(q, n)| (q.as_str(), *n))
        .collect();
    assert_eq!(queues, [("q", 3), ("w", 5)]);
    assert_eq!((worker.every_ms, worker.sdk.as_str()), (100, "rust"));
    assert_eq!(worker.pid, std::process::id());
    assert!(worker.control.starts_with("r.control."));
    assert!(worker.missing.is_empty() && !worker.draining);
    working.stop().await;
}

#[tokio::test]
async fn a_worker_reports_every_heartbeat_also_when_it_has_nothing() {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(Door::new())
        .queue("q", wait)
        .options(options("r"));
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    let (from, began) = (clerk.report(|_| true).await.seq, Instant::now());
    let report = clerk.report(|report| report.seq >= from + 5).await;
    assert!(report.in_hand.is_empty());
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "no more often than that"
    );
    working.stop().await;
}

#[tokio::test]
async fn every_delivery_in_hand_for_long_is_listed_started_or_not() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(door.clone()).queue("q", wait).concurrency(1);
    let working = Working::start(worker.options(options("r")), &broker);
    clerk.greeted().await;
    // Twenty quick ones, so that more than one is taken at a time.
    door.open(20);
    for _ in 0..20 {
        clerk.submit("q", "null").await;
        clerk.reply().await;
    }
    let running = clerk.submit("q", "null").await;
    let waiting = clerk.submit("q", "null").await;
    let report = clerk.report(|report| report.in_hand.len() == 2).await;
    for listed in &report.in_hand {
        let runs = listed.correlation == running.wire.correlation;
        assert!(runs || listed.correlation == waiting.wire.correlation);
        assert_eq!(listed.started_at.is_some(), runs);
        assert_eq!(listed.held, Held::No);
    }
    door.open(2);
    clerk.outcome(&running).await;
    clerk.report(|report| report.in_hand.is_empty()).await;
    working.stop().await;
}

#[tokio::test]
async fn a_job_that_ends_quickly_is_never_listed() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(door.clone())
        .queue("q", wait)
        .options(options("r"));
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    // On a busy machine not all jobs end quickly.
    let mut unlisted = false;
    for _ in 0..5 {
        clerk.heard.clear();
        while clerk.heard.len() < 3 {
            door.open(10);
            for _ in 0..10 {
                clerk.submit("q", "null").await;
            }
            for _ in 0..10 {
                clerk.reply().await;
            }
        }
        unlisted |= clerk.heard.iter().all(|report| report.in_hand.is_empty());
        if unlisted {
            break;
        }
    }
    working.stop().await;
    assert!(unlisted);
}

async fn chatty((): (), State(door): State<Door>, told: Progress) -> Result<(), JobError> {
    for step in 0..100 {
        told.progress(f64::from(step) / 100.0, "on the way");
    }
    told.log(Level::Warn, "low on memory");
    told.chunk([1, 2]).await?;
    door.pass().await;
    told.progress(1.0, "done");
    told.progress(2.0, None);
    Ok(())
}

#[tokio::test]
async fn progress_is_merged_and_its_last_is_always_told() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(door.clone())
        .queue("q", chatty)
        .options(options("r"));
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    let job = clerk.submit("q", "null").await;
    door.somebody().await;
    // The hundredth is told by itself once it is time.
    let fraction =
        |data: &str| serde_json::from_str::<serde_json::Value>(data).unwrap()["fraction"].as_f64();
    clerk
        .report(|report| {
            let mut told = report
                .events
                .iter()
                .filter(|it| it.event == EventKind::Progress);
            told.any(|event| fraction(event.data.get()) == Some(0.99))
        })
        .await;
    door.open(1);
    clerk.outcome(&job).await;
    working.stop().await;
    // What the drain reported last.
    clerk
        .report(|report| report.worker.draining && !report.events.is_empty())
        .await;
    let events: Vec<_> = clerk
        .heard
        .iter()
        .flat_map(|report| &report.events)
        .collect();
    assert!(
        events
            .iter()
            .all(|event| event.correlation == job.wire.correlation)
    );
    assert!(
        events
            .iter()
            .map(|event| event.seq)
            .eq(1..=events.len() as u64)
    );
    let kinds: Vec<_> = events.iter().map(|event| event.event).collect();
    use EventKind::{Chunk, Log, Progress};
    assert_eq!(kinds[..4], [Progress, Log, Chunk, Progress]);
    assert!(kinds[4..].iter().all(|kind| *kind == Progress) && kinds.len() <= 6);
    let last = events.last().unwrap().data.get();
    assert_eq!(fraction(last), Some(1.0), "2 is no fraction");
    assert!(last.contains("\"message\":\"done\""));
}

#[tokio::test]
async fn a_chunk_does_not_wait_for_the_pace_of_reports() {
    async fn stream((): (), told: Progress, State(door): State<Door>) -> Result<(), JobError> {
        for index in 0..10 {
            told.chunk(index).await?;
            door.pass().await;
        }
        Ok(())
    }
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(door.clone())
        .queue("q", stream)
        .options(options("r"));
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    // At the pace of reports ten would take 2.5 s each time.
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        clerk.submit("q", "null").await;
        let began = Instant::now();
        for _ in 0..10 {
            clerk
                .report(|report| report.events.iter().any(|it| it.event == EventKind::Chunk))
                .await;
            door.open(1);
        }
        quickest = quickest.min(began.elapsed());
        clerk.reply().await;
        if quickest < Duration::from_millis(1_500) {
            break;
        }
    }
    working.stop().await;
    assert!(quickest < Duration::from_millis(1_500), "{quickest:?}");
}

#[tokio::test]
async fn a_missing_queue_is_reported_and_found_once_it_is_declared() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "r", &["q"]).await;
    let worker = Worker::new(door.clone())
        .queue("q", wait)
        .queue("lost", wait);
    let working = Working::start(worker.options(options("r")), &broker);
    clerk
        .report(|report| report.worker.missing == ["lost"])
        .await;
    assert_eq!(working.health.borrow().missing, ["lost"]);
    door.open(2);
    clerk.submit("q", "null").await;
    clerk.reply().await;
    clerk.declare("lost").await;
    clerk.submit("lost", "null").await;
    clerk.reply().await;
    clerk
        .report(|report| report.worker.missing.is_empty())
        .await;
    eventually("healthy", async || {
        working.health.borrow().missing.is_empty()
    })
    .await;
    working.stop().await;
}
