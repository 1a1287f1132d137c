//! What clerks tell a worker.

use clerkwork_broker::memory;
use clerkwork_core::event;
use clerkwork_wire::v1::{Control, Stopped};
use clerkwork_worker::{Cancelled, JobError, Options, State, Worker};

use crate::support::{Clerk, Door, Working, eventually, job, options};

/// A worker whose jobs wait at a door; told to stop, a job of `"polite"` gives up, any other goes on.
fn at(door: &Door) -> Worker<Door> {
    async fn wait(how: String, State(door): State<Door>, stop: Cancelled) -> Result<(), JobError> {
        tokio::select! {
            () = door.pass() => Ok(()),
            () = stop.cancelled(), if how == "polite" => Err(JobError::new("stopped")),
        }
    }
    Worker::new(door.clone())
        .queue("q", wait)
        .concurrency(1)
        .options(options("c"))
}

async fn fleet(door: &Door) -> (Clerk, Working) {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
    let working = Working::start(at(door), &broker);
    clerk.greeted().await;
    (clerk, working)
}

#[tokio::test]
async fn nothing_starts_before_a_clerk_has_greeted() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
    clerk.greets = false;
    let job = clerk.submit("q", "\"x\"").await;
    let working = Working::start(at(&door), &broker);
    for _ in 0..3 {
        let report = clerk.report(|_| true).await;
        assert!(!report.worker.greeted);
    }
    let half = Control {
        hello: Some("1".to_owned()),
        ..Control::default()
    };
    clerk.tell(half.clone()).await;
    clerk.report(|_| true).await;
    assert_eq!((door.waiting(), clerk.ready("q").await), (0, 1));
    assert!(!working.health.borrow().greeted);
    clerk
        .tell(Control {
            complete: true,
            ..half
        })
        .await;
    door.open(1);
    clerk.outcome(&job).await;
    assert!(working.health.borrow().greeted);
    working.stop().await;
}

#[tokio::test]
async fn what_was_cancelled_before_the_greeting_never_starts() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
    clerk.greets = false;
    let job = clerk.submit("q", "\"x\"").await;
    let working = Working::start(at(&door), &broker);
    clerk
        .report(|report| !report.worker.control.is_empty())
        .await;
    clerk
        .tell(Control {
            hello: Some("1".to_owned()),
            cancelled: vec![Stopped {
                job: job.job.to_string(),
                attempt: 1,
            }],
            complete: true,
            ..Control::default()
        })
        .await;
    assert!(matches!(clerk.outcome(&job).await, event::Reply::Cancelled));
    assert_eq!(door.waiting(), 0);
    working.stop().await;
}

#[tokio::test]
async fn a_cancel_is_remembered_for_a_delivery_that_comes_later() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door).await;
    let late = job(&clerk.names, "\"x\"");
    clerk.cancel(&late).await;
    // What runs in between shows that the cancel was heard before.
    let first = clerk.submit("q", "\"polite\"").await;
    door.somebody().await;
    clerk.cancel(&first).await;
    assert!(matches!(
        clerk.outcome(&first).await,
        event::Reply::Cancelled
    ));
    clerk.publish("q", late.wire.clone().encode()).await;
    assert!(matches!(
        clerk.outcome(&late).await,
        event::Reply::Cancelled
    ));
    assert_eq!(door.waiting(), 0);
    working.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_that_succeeds_all_the_same_is_a_success() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door).await;
    let deaf = clerk.submit("q", "\"deaf\"").await;
    door.somebody().await;
    clerk.cancel(&deaf).await;
    // Heard, as the next control message is.
    clerk
        .tell(Control {
            pause: vec!["q".to_owned()],
            ..Control::default()
        })
        .await;
    clerk
        .tell(Control {
            resume: vec!["q".to_owned()],
            ..Control::default()
        })
        .await;
    door.open(1);
    assert!(matches!(
        clerk.outcome(&deaf).await,
        event::Reply::Succeeded { .. }
    ));
    working.stop().await;
}

#[tokio::test]
async fn a_paused_queue_is_left_alone_until_it_is_resumed() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door).await;
    let first = clerk.submit("q", "\"x\"").await;
    door.somebody().await;
    clerk
        .tell(Control {
            pause: vec!["q".to_owned()],
            ..Control::default()
        })
        .await;
    let consumers = async |clerk: &Clerk| {
        clerk
            .broker
            .look(&clerk.names.jobs("q"))
            .await
            .unwrap()
            .unwrap()
            .consumers
    };
    eventually("it consumes no more", async || consumers(&clerk).await == 0).await;
    let second = clerk.submit("q", "\"x\"").await;
    door.open(1);
    clerk.outcome(&first).await;
    assert_eq!((clerk.ready("q").await, door.waiting()), (1, 0));
    clerk
        .tell(Control {
            resume: vec!["q".to_owned()],
            ..Control::default()
        })
        .await;
    door.open(1);
    clerk.outcome(&second).await;
    working.stop().await;
    assert_eq!(
        clerk.ready("q").await,
        0,
        "what ran through the pause was acknowledged too"
    );
}

#[tokio::test]
async fn a_greeting_says_which_queues_are_paused() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
    clerk.paused = vec!["q".to_owned()];
    let job = clerk.submit("q", "\"x\"").await;
    let working = Working::start(at(&door), &broker);
    clerk.greeted().await;
    clerk.report(|_| true).await;
    assert_eq!((clerk.ready("q").await, door.waiting()), (1, 0));
    clerk
        .tell(Control {
            resume: vec!["q".to_owned()],
            ..Control::default()
        })
        .await;
    door.open(1);
    clerk.outcome(&job).await;
    working.stop().await;
}

#[tokio::test]
async fn a_refused_delivery_is_stopped_and_acknowledged_at_once() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door).await;
    let deaf = clerk.submit("q", "\"deaf\"").await;
    door.somebody().await;
    let next = clerk.submit("q", "\"x\"").await;
    let refused = vec![deaf.wire.message_id.clone()];
    clerk
        .tell(Control {
            refused,
            ..Control::default()
        })
        .await;
    eventually("its place is free", async || clerk.ready("q").await == 0).await;
    door.open(2);
    assert!(matches!(
        clerk.outcome(&deaf).await,
        event::Reply::Succeeded { .. }
    ));
    clerk.outcome(&next).await;
    working.stop().await;
}

#[tokio::test]
async fn a_quiet_worker_finishes_what_it_has_and_stays() {
    let door = Door::new();
    let (mut clerk, working) = fleet(&door).await;
    let first = clerk.submit("q", "\"x\"").await;
    door.somebody().await;
    clerk
        .tell(Control {
            quiet: true,
            ..Control::default()
        })
        .await;
    let jobs = clerk.names.jobs("q");
    let broker = clerk.broker.clone();
    let consumers = async || broker.look(&jobs).await.unwrap().unwrap().consumers;
    eventually("it consumes no more", async || consumers().await == 0).await;
    clerk.submit("q", "\"x\"").await;
    door.open(2);
    clerk.outcome(&first).await;
    clerk.report(|report| report.in_hand.is_empty()).await;
    assert_eq!((clerk.ready("q").await, door.waiting()), (1, 0));
    working.stop().await;
}

#[tokio::test]
async fn a_clerk_can_stop_a_worker() {
    let door = Door::new();
    let (clerk, working) = fleet(&door).await;
    clerk
        .tell(Control {
            stop: true,
            ..Control::default()
        })
        .await;
    working.ended().await;
}

#[tokio::test]
async fn control_messages_of_others_are_ignored_where_the_clerks_user_is_set() {
    let (broker, door) = (memory::broker(), Door::new());
    let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
    let settings = Options {
        clerk_user: Some("clerk".to_owned()),
        ..options("c")
    };
    let working = Working::start(at(&door).options(settings), &broker);
    // The clerk of these tests sets no user, so its greetings are nobody's.
    for _ in 0..3 {
        let report = clerk.report(|_| true).await;
        assert!(!report.worker.greeted);
    }
    let hello = Control {
        hello: Some("1".to_owned()),
        complete: true,
        ..Control::default()
    }
    .encode();
    let real = clerkwork_wire::Envelope {
        user_id: Some("clerk".to_owned()),
        ..hello
    };
    let (exchange, key) = (clerk.names.control(), String::new());
    let message = clerkwork_broker::Message {
        exchange,
        key,
        durable: false,
        envelope: real,
    };
    broker.send(vec![message]).await;
    clerk.greeted().await;
    working.stop().await;
}
