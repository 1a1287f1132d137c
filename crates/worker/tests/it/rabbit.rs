//! A worker on RabbitMQ: `AMQP_URL`, or the one on this machine.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Broker, Status, amqp};
use clerkwork_wire::v1::{Control, Held};
use clerkwork_worker::{JobError, Options, State, Worker};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};

use crate::proxy::Proxy;
use crate::support::{Clerk, Door, Working, eventually, options, text};

async fn wait((): (), State(door): State<Door>) -> Result<String, JobError> {
    door.pass().await;
    Ok("done".to_owned())
}

/// A fleet whose worker is behind a proxy.
struct Fleet {
    proxy: Proxy,
    clerk: Clerk,
    working: Working,
    theirs: Arc<dyn Broker>,
}

fn url() -> String {
    std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

fn connect(url: &str, name: &str) -> Arc<dyn Broker> {
    let small = amqp::Options {
        frame_max: 16_384,
        ..amqp::Options::new(url, name)
    };
    amqp::connect(&small).unwrap()
}

impl Fleet {
    async fn new(door: &Door, concurrency: usize, hold_after: Duration) -> Self {
        let prefix = format!("worker-test-{:016x}", rand::random::<u64>());
        let proxy = Proxy::start(&url()).await;
        let ours = connect(&url(), "clerk");
        ours.status()
            .wait_for(|status| *status == Status::Up)
            .await
            .unwrap();
        let mut clerk = Clerk::new(ours, &prefix, &["q"]).await;
        let theirs = connect(&proxy.url, "worker");
        let settings = Options {
            hold_after,
            ..options(&prefix)
        };
        let worker = Worker::new(door.clone())
            .queue("q", wait)
            .concurrency(concurrency);
        let working = Working::start(worker.options(settings), &theirs);
        clerk.greeted().await;
        Self {
            proxy,
            clerk,
            working,
            theirs,
        }
    }

    /// Ends everything and leaves nothing behind.
    async fn end(self) {
        self.working.stop().await;
        self.theirs.close().await;
        self.clerk.broker.close().await;
        let names = &self.clerk.names;
        let connection = Connection::connect(&url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        for name in [
            names.replies(),
            names.reports(),
            names.control(),
            names.jobs("q"),
        ] {
            let all = QueueDeleteOptions::default();
            channel
                .queue_delete(name.as_str().into(), all)
                .await
                .unwrap();
            let all = ExchangeDeleteOptions::default();
            channel.exchange_delete(name.into(), all).await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_are_each_answered_once() {
    let door = Door::new();
    let mut fleet = Fleet::new(&door, 16, Duration::from_secs(60)).await;
    door.open(1_000);
    let mut sent = fleet
        .clerk
        .submit_all("q", &vec!["null".to_owned(); 1_000])
        .await;
    for _ in 0..1_000 {
        let reply = fleet.clerk.reply().await;
        assert!(sent.remove(&reply.head.correlation));
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_survives_a_reconnect_and_runs_once() {
    let door = Door::new();
    let mut fleet = Fleet::new(&door, 1, Duration::from_secs(60)).await;
    let job = fleet.clerk.submit("q", "null").await;
    door.somebody().await;
    fleet.proxy.cut();
    fleet.clerk.report(|report| !report.worker.greeted).await;
    fleet.clerk.greeted().await;
    let jobs = fleet.clerk.names.jobs("q");
    let broker = Arc::clone(&fleet.clerk.broker);
    eventually("it is taken again", async || {
        let depth = broker.look(&jobs).await.unwrap().unwrap();
        depth.ready == 0 && depth.consumers == 1
    })
    .await;
    door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "\"done\"");
    assert_eq!(door.waiting(), 0, "one run");
    // The delivery was acknowledged, or concurrency 1 would leave no room for this one.
    door.open(1);
    let next = fleet.clerk.submit("q", "null").await;
    fleet.clerk.outcome(&next).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_kept_while_the_broker_is_away() {
    let door = Door::new();
    let mut fleet = Fleet::new(&door, 1, Duration::from_secs(60)).await;
    let job = fleet.clerk.submit("q", "null").await;
    door.somebody().await;
    fleet.proxy.set_away(true);
    fleet.proxy.cut();
    let mut health = fleet.working.health.clone();
    health.wait_for(|health| !health.greeted).await.unwrap();
    door.open(1);
    fleet.proxy.set_away(false);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "\"done\"");
    assert_eq!(door.waiting(), 0, "one run");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_job_is_the_brokers_no_more_and_runs_on_through_a_reconnect() {
    let door = Door::new();
    let mut fleet = Fleet::new(&door, 2, Duration::from_millis(100)).await;
    let job = fleet.clerk.submit("q", "null").await;
    door.somebody().await;
    let is = |held| {
        move |report: &clerkwork_wire::v1::Report| {
            report.in_hand.iter().any(|listed| listed.held == held)
        }
    };
    fleet.clerk.report(is(Held::Asked)).await;
    let held = vec![job.wire.message_id.clone()];
    fleet
        .clerk
        .tell(Control {
            held,
            ..Control::default()
        })
        .await;
    fleet.clerk.report(is(Held::Yes)).await;
    // Nothing that the broker still has can come back now.
    fleet.proxy.cut();
    fleet.clerk.report(|report| !report.worker.greeted).await;
    fleet.clerk.greeted().await;
    let next = fleet.clerk.submit("q", "null").await;
    door.somebody().await;
    assert_eq!(fleet.clerk.ready("q").await, 0);
    door.open(2);
    let mut seen = vec![fleet.clerk.reply().await.head.correlation];
    seen.push(fleet.clerk.reply().await.head.correlation);
    seen.sort();
    let mut both = vec![job.wire.correlation, next.wire.correlation];
    both.sort();
    assert_eq!((seen, door.waiting()), (both, 0));
    fleet.end().await;
}
