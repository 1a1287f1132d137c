//! Replies on their way to a clerk.

use std::sync::Arc;

use clerkwork_broker::{Broker, Published, Queue, QueueKind, Source};
use clerkwork_core::{Failure, Retry};
use clerkwork_worker::{Input, JobError, Output, Worker};

use crate::fickle::{Fault, Fickle};
use crate::support::{Clerk, Working, eventually, failure, job, options, text};

async fn echo(input: Input) -> Result<Output, JobError> {
    Ok(Output::new(input.content_type, input.bytes))
}

async fn fleet() -> (Arc<Fickle>, Clerk, Working) {
    let fickle = Fickle::new("y");
    let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "y", &["q"]).await;
    let settings = clerkwork_worker::Options {
        max_output: usize::MAX,
        ..options("y")
    };
    let worker = Worker::new(())
        .queue("q", echo)
        .concurrency(8)
        .options(settings);
    let broker: Arc<dyn Broker> = fickle.clone();
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    (fickle, clerk, working)
}

#[tokio::test]
async fn a_reply_is_sent_again_until_it_is_confirmed() {
    let (fickle, mut clerk, working) = fleet().await;
    for said in [
        Published::NotSent,
        Published::Unknown,
        Published::Refused,
        Published::Unroutable,
    ] {
        fickle.plan([Fault::Lost(said), Fault::Lost(said)]);
        let job = clerk.submit("q", "1").await;
        assert_eq!(text(&clerk.outcome(&job).await), "1", "{said:?}");
        assert_eq!(fickle.planned(), 0);
    }
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn a_delivery_is_acknowledged_only_after_the_confirm() {
    let (fickle, mut clerk, working) = fleet().await;
    fickle.plan([Fault::Arrives(Published::Unknown); 200]);
    let job = clerk.submit("q", "1").await;
    clerk.outcome(&job).await;
    // The reply is there, but the worker does not know it; when it dies the job comes back.
    working.kill().await;
    eventually("it is back", async || clerk.ready("q").await == 1).await;
}

#[tokio::test]
async fn a_reply_outlives_a_reconnect_and_its_job_is_not_run_again() {
    let (fickle, mut clerk, working) = fleet().await;
    fickle.plan([Fault::Lost(Published::Unknown); 3]);
    let job = clerk.submit("q", "1").await;
    fickle.cut();
    assert_eq!(text(&clerk.outcome(&job).await), "1");
    let next = clerk.submit("q", "2").await;
    clerk.outcome(&next).await;
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn one_bad_reply_does_not_hold_the_others_up() {
    let (fickle, mut clerk, working) = fleet().await;
    fickle.refuse("\"bad\"");
    let bad = clerk.submit("q", "\"bad\"").await;
    eventually("it was refused", async || fickle.refused() > 0).await;
    let mut others = clerk.submit_all("q", &vec!["1".to_owned(); 20]).await;
    for _ in 0..20 {
        assert!(others.remove(&clerk.reply().await.head.correlation));
    }
    fickle.refuse("");
    assert_eq!(text(&clerk.outcome(&bad).await), "\"bad\"");
    working.stop().await;
}

#[tokio::test]
async fn replies_that_are_ready_together_travel_together() {
    let (_fickle, mut clerk, working) = fleet().await;
    let inputs: Vec<_> = (0..2_000).map(|index| index.to_string()).collect();
    let mut sent = clerk.submit_all("q", &inputs).await;
    for _ in 0..2_000 {
        let reply = clerk.reply().await;
        assert!(sent.remove(&reply.head.correlation));
        assert!(reply.head.worker.is_some() && reply.head.started_at.is_some());
    }
    assert!(clerk.packs.iter().all(|count| *count <= 256));
    let packed: usize = clerk.packs.iter().filter(|count| **count > 1).sum();
    assert!(packed > 0, "{:?}", clerk.packs);
    working.stop().await;
}

#[tokio::test]
async fn a_large_reply_travels_alone() {
    let (_fickle, mut clerk, working) = fleet().await;
    let large = format!("\"{}\"", "x".repeat(300_000));
    for _ in 0..4 {
        clerk.submit("q", &large).await;
    }
    for _ in 0..4 {
        assert_eq!(clerk.reply().await.body.len(), large.len());
    }
    assert_eq!(clerk.packs, [1; 4]);
    working.stop().await;
}

#[tokio::test]
async fn an_output_that_no_broker_takes_is_a_failure_for_good() {
    async fn huge((): ()) -> Result<Output, JobError> {
        Ok(Output::new("text/plain", vec![b'x'; 17_000_000]))
    }
    let fickle = Fickle::new("y");
    let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "y", &["q"]).await;
    let settings = clerkwork_worker::Options {
        max_output: usize::MAX,
        ..options("y")
    };
    let broker: Arc<dyn Broker> = fickle.clone();
    let working = Working::start(Worker::new(()).queue("q", huge).options(settings), &broker);
    let job = clerk.submit("q", "null").await;
    let (wrong, retry) = failure(clerk.outcome(&job).await);
    assert_eq!(
        (wrong.kind.as_str(), retry),
        (Failure::OUTPUT_TOO_LARGE, Retry::Never)
    );
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn whoever_asks_for_a_reply_elsewhere_gets_it_there() {
    let (fickle, clerk, working) = fleet().await;
    let own = Queue {
        name: "elsewhere".to_owned(),
        kind: QueueKind::Keep,
        exchange: None,
        dead_letters: None,
    };
    fickle.calm.declare(&own).await.unwrap();
    let mut asked = job(&clerk.names, "7");
    asked.wire.reply_to = own.name.clone();
    clerk.publish("q", asked.wire.clone().encode()).await;
    let mut consumer = fickle
        .calm
        .consume(Source::Queue(own.name), 1)
        .await
        .unwrap();
    let mut batch = consumer.next_batch(1).await.unwrap();
    let envelope = batch.remove(0).envelope;
    assert_eq!(envelope.correlation_id, Some(asked.wire.correlation));
    assert_eq!(&envelope.body[..], b"7");

    // Nobody there: it is dropped in the end, and the delivery with it.
    let mut lost = job(&clerk.names, "8");
    lost.wire.reply_to = "nowhere".to_owned();
    clerk.publish("q", lost.wire.encode()).await;
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn an_output_whose_media_type_no_broker_takes_fails_its_job_alone_and_says_why() {
    async fn long((): ()) -> Result<Output, JobError> {
        Ok(Output::new(format!("x/{}", "y".repeat(300)), "z"))
    }
    let fickle = Fickle::new("y");
    let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "y", &["q"]).await;
    let broker: Arc<dyn Broker> = fickle.clone();
    let worker = Worker::new(()).queue("q", long).options(options("y"));
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    let job = clerk.submit("q", "null").await;
    let (failure, retry) = failure(clerk.outcome(&job).await);
    assert_eq!(failure.kind, Failure::INVALID_OUTPUT);
    assert_eq!(retry, Retry::Never);
    let detail = failure.detail.unwrap_or_default();
    assert!(detail.contains("302") && detail.contains("255"), "{detail}");
    working.stop().await;
}
