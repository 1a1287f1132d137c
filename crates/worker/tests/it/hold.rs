//! Long jobs, and jobs that come back after a reconnect.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_wire::v1::{Control, Held};
use clerkwork_worker::{JobError, Options, State, Worker};

use crate::fickle::Fickle;
use crate::support::{Clerk, Door, Working, eventually, options, text};

async fn wait((): (), State(door): State<Door>) -> Result<String, JobError> {
    door.pass().await;
    Ok("done".to_owned())
}

#[tokio::test]
async fn a_held_job_keeps_its_slot_and_the_others_are_used_on() {
    let door = Door::new();
    let (_fickle, mut clerk, working) = fleet_of(&door, Duration::from_millis(100), 2).await;
    let long = clerk.submit("q", "null").await;
    clerk
        .report(|report| {
            report
                .in_hand
                .iter()
                .any(|listed| listed.held == Held::Asked)
        })
        .await;
    let held = vec![long.wire.message_id.clone()];
    clerk
        .tell(Control {
            held,
            ..Control::default()
        })
        .await;
    clerk
        .report(|report| report.in_hand.iter().any(|listed| listed.held == Held::Yes))
        .await;
    door.somebody().await;
    for _ in 0..3 {
        clerk.submit("q", "null").await;
    }
    door.somebody().await;
    clerk.report(|report| report.in_hand.len() == 2).await;
    assert_eq!(
        (door.waiting(), clerk.ready("q").await),
        (0, 2),
        "one runs beside it"
    );
    door.open(4);
    for _ in 0..4 {
        clerk.reply().await;
    }
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

async fn fleet(door: &Door, hold_after: Duration) -> (Arc<Fickle>, Clerk, Working) {
    fleet_of(door, hold_after, 1).await
}

async fn fleet_of(
    door: &Door,
    hold_after: Duration,
    concurrency: usize,
) -> (Arc<Fickle>, Clerk, Working) {
    let fickle = Fickle::new("h");
    let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "h", &["q"]).await;
    let settings = Options {
        hold_after,
        ..options("h")
    };
    let worker = Worker::new(door.clone())
        .queue("q", wait)
        .concurrency(concurrency)
        .options(settings);
    let broker: Arc<dyn Broker> = fickle.clone();
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    (fickle, clerk, working)
}

#[tokio::test]
async fn a_long_job_asks_to_be_held_and_is_acknowledged_once_a_clerk_has_recorded_it() {
    let door = Door::new();
    let (fickle, mut clerk, working) = fleet(&door, Duration::from_millis(100)).await;
    let job = clerk.submit("q", "null").await;
    let next = clerk.submit("q", "null").await;
    let is = |held| {
        move |report: &clerkwork_wire::v1::Report| {
            report
                .in_hand
                .first()
                .is_some_and(|listed| listed.held == held)
        }
    };
    clerk.report(is(Held::Asked)).await;
    clerk.report(is(Held::Asked)).await;
    assert_eq!(
        clerk.ready("q").await,
        1,
        "not acknowledged, so the next one waits"
    );
    let held = vec![job.wire.message_id.clone()];
    clerk
        .tell(Control {
            held,
            ..Control::default()
        })
        .await;
    let report = clerk.report(is(Held::Yes)).await;
    assert_eq!(report.in_hand[0].correlation, job.wire.correlation);
    // Its slot is taken, so nothing else is fetched; nor does anything come back.
    let jobs = clerk.names.jobs("q");
    let broker = clerk.broker.clone();
    let depth = async || broker.look(&jobs).await.unwrap().unwrap();
    eventually("it consumes no more", async || depth().await.consumers == 0).await;
    fickle.cut();
    clerk.greeted().await;
    assert_eq!(clerk.ready("q").await, 1);
    door.open(2);
    assert_eq!(text(&clerk.outcome(&job).await), "\"done\"");
    assert_eq!(text(&clerk.outcome(&next).await), "\"done\"");
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn a_word_that_a_job_is_held_means_nothing_to_one_that_did_not_ask() {
    let door = Door::new();
    let (fickle, mut clerk, working) = fleet(&door, Duration::from_secs(60)).await;
    let job = clerk.submit("q", "null").await;
    door.somebody().await;
    let held = vec![job.wire.message_id.clone()];
    clerk
        .tell(Control {
            held,
            ..Control::default()
        })
        .await;
    clerk.report(|report| !report.in_hand.is_empty()).await;
    // Still the broker's: it comes back when the worker dies.
    working.kill().await;
    eventually("it is back", async || clerk.ready("q").await == 1).await;
    drop(fickle);
}

#[tokio::test]
async fn a_job_that_comes_back_after_a_reconnect_is_adopted_and_not_run_twice() {
    let door = Door::new();
    let (fickle, mut clerk, working) = fleet(&door, Duration::from_secs(60)).await;
    let job = clerk.submit("q", "null").await;
    door.somebody().await;
    for _ in 0..3 {
        fickle.cut();
        clerk.report(|report| !report.worker.greeted).await;
        let jobs = clerk.names.jobs("q");
        eventually("it is taken again", async || {
            let depth = clerk.broker.look(&jobs).await.unwrap().unwrap();
            let _ = clerk.report(|_| true).await;
            depth.ready == 0 && depth.consumers == 1
        })
        .await;
    }
    assert_eq!(door.waiting(), 0, "one run");
    door.open(1);
    assert_eq!(text(&clerk.outcome(&job).await), "\"done\"");
    working.stop().await;
    assert_eq!(
        clerk.ready("q").await,
        0,
        "the last delivery was acknowledged"
    );
}

#[tokio::test]
async fn after_a_reconnect_nothing_starts_before_a_new_greeting() {
    let door = Door::new();
    let (fickle, mut clerk, working) = fleet(&door, Duration::from_secs(60)).await;
    let before = clerk.greeted().await.worker.control;
    clerk.greets = false;
    fickle.cut();
    clerk.submit("q", "null").await;
    let report = clerk.report(|report| report.worker.control != before).await;
    assert!(!report.worker.greeted);
    clerk.report(|_| true).await;
    assert_eq!(door.waiting(), 0);
    clerk.greets = true;
    door.open(1);
    clerk.reply().await;
    working.stop().await;
}
