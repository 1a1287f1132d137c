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

async fn fleet(door: &Door, hold_after: Duration) -> (Arc<Fickle>, Clerk, Working) {
    let fickle = Fickle::new("h");
    let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "h", &["q"]).await;
    let settings = Options {
        hold_after,
        ..options("h")
    };
    let worker = Worker::new(door.clone())
        .queue("q", wait)
        .concurrency(1)
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
    eventually("acknowledged", async || clerk.ready("q").await == 0).await;

    // Nothing comes back, since nothing is unsettled but the next one, which has not started.
    fickle.cut();
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
    clerk.greets = false;
    fickle.cut();
    let control = clerk
        .report(|report| !report.worker.greeted)
        .await
        .worker
        .control;
    clerk.submit("q", "null").await;
    let report = clerk
        .report(|report| report.worker.control != control || control.is_empty())
        .await;
    assert!(!report.worker.greeted);
    clerk.report(|_| true).await;
    assert_eq!(door.waiting(), 0);
    clerk.greets = true;
    door.open(1);
    clerk.reply().await;
    working.stop().await;
}
