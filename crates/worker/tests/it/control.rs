//! What clerks tell a worker.

use clerkwork_broker::memory;
use clerkwork_core::event;
use clerkwork_wire::v1::{Control, Stopped};
use clerkwork_worker::{Cancelled, JobError, Options, State, Worker};

use crate::support::{Clerk, Door, Submission, Working, eventually, job, options};

/// A clerk, its worker, which runs one job at a time, and the door that its jobs wait at.
struct Fleet {
    clerk: Clerk,
    working: Working,
    door: Door,
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb");
    }
}

/// Waits at the door; told to stop, a job of `"polite"` gives up, any other goes on.
async fn wait(how: String, State(door): State<Door>, stop: Cancelled) -> Result<(), JobError> {
    let _bomb = (how == "armed").then(|| Bomb);
    tokio::select! {
        () = door.pass() => Ok(()),
        () = stop.cancelled(), if how == "polite" => Err(JobError::new("stopped")),
    }
}

impl Fleet {
    /// One whose clerk has greeted its worker.
    async fn greeted() -> Self {
        let mut fleet = Self::with(options("c"), |_| ()).await;
        fleet.clerk.greeted().await;
        fleet
    }

    /// A clerk that is as `prepare` leaves it before it hears of the worker.
    async fn with(settings: Options, prepare: impl FnOnce(&mut Clerk)) -> Self {
        let (broker, door) = (memory::broker(), Door::new());
        let mut clerk = Clerk::new(broker.clone(), "c", &["q"]).await;
        prepare(&mut clerk);
        let worker = Worker::new(door.clone()).queue("q", wait);
        let working = Working::start(worker.concurrency(1).options(settings), &broker);
        Self {
            clerk,
            working,
            door,
        }
    }

    async fn submit(&self, how: &str) -> Submission {
        self.clerk.submit("q", &format!("\"{how}\"")).await
    }

    /// Submits a job and waits until it is at the door.
    async fn running(&self, how: &str) -> Submission {
        let submission = self.submit(how).await;
        self.door.somebody().await;
        submission
    }

    /// Waits until the worker takes nothing more from the queue.
    async fn consumes_no_more(&self) {
        let jobs = self.clerk.names.jobs("q");
        let look = async || self.clerk.broker.look(&jobs).await.unwrap().unwrap();
        eventually("it consumes no more", async || look().await.consumers == 0).await;
    }

    /// How many jobs nobody has, and how many are at the door.
    async fn untouched(&self) -> (u64, usize) {
        (self.clerk.ready("q").await, self.door.waiting())
    }
}

fn pause() -> Control {
    Control {
        pause: vec!["q".to_owned()],
        ..Control::default()
    }
}

fn resume() -> Control {
    Control {
        resume: vec!["q".to_owned()],
        ..Control::default()
    }
}

fn hello() -> Control {
    Control {
        hello: Some("1".to_owned()),
        complete: true,
        ..Control::default()
    }
}

#[tokio::test]
async fn nothing_starts_before_a_clerk_has_greeted() {
    let mut fleet = Fleet::with(options("c"), |clerk| clerk.greets = false).await;
    let job = fleet.submit("x").await;
    for _ in 0..3 {
        let report = fleet.clerk.report(|_| true).await;
        assert!(!report.worker.greeted);
    }
    let half = Control {
        complete: false,
        ..hello()
    };
    fleet.clerk.tell(half).await;
    fleet.clerk.report(|_| true).await;
    assert_eq!(fleet.untouched().await, (1, 0));
    assert!(!fleet.working.health.borrow().greeted);
    fleet.clerk.tell(hello()).await;
    fleet.door.open(1);
    fleet.clerk.outcome(&job).await;
    assert!(fleet.working.health.borrow().greeted);
    fleet.working.stop().await;
}

#[tokio::test]
async fn what_was_cancelled_before_the_greeting_never_starts() {
    let mut fleet = Fleet::with(options("c"), |clerk| clerk.greets = false).await;
    let job = fleet.submit("x").await;
    fleet
        .clerk
        .report(|report| !report.worker.control.is_empty())
        .await;
    let cancelled = Stopped {
        job: job.job.to_string(),
        attempt: 1,
    };
    let hello = Control {
        cancelled: vec![cancelled],
        ..hello()
    };
    fleet.clerk.tell(hello).await;
    let outcome = fleet.clerk.outcome(&job).await;
    assert!(matches!(outcome, event::Reply::Cancelled));
    assert_eq!(fleet.door.waiting(), 0);
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_cancel_is_remembered_for_a_delivery_that_comes_later() {
    let mut fleet = Fleet::greeted().await;
    let late = job(&fleet.clerk.names, "\"x\"");
    fleet.clerk.cancel(&late).await;
    // What runs in between shows that the cancel was heard before.
    let first = fleet.running("polite").await;
    fleet.clerk.cancel(&first).await;
    let outcome = fleet.clerk.outcome(&first).await;
    assert!(matches!(outcome, event::Reply::Cancelled));
    fleet.clerk.publish("q", late.wire.clone().encode()).await;
    let outcome = fleet.clerk.outcome(&late).await;
    assert!(matches!(outcome, event::Reply::Cancelled));
    assert_eq!(fleet.door.waiting(), 0);
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_that_succeeds_all_the_same_is_a_success() {
    let mut fleet = Fleet::greeted().await;
    let deaf = fleet.running("deaf").await;
    fleet.clerk.cancel(&deaf).await;
    // Heard, as the next control message is.
    fleet.clerk.tell(pause()).await;
    fleet.clerk.tell(resume()).await;
    fleet.door.open(1);
    let outcome = fleet.clerk.outcome(&deaf).await;
    assert!(matches!(outcome, event::Reply::Succeeded { .. }));
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_that_goes_on_is_dropped_and_answered_even_if_it_panics_then() {
    let mut fleet = Fleet::greeted().await;
    for how in ["deaf", "armed"] {
        let job = fleet.running(how).await;
        fleet.clerk.cancel(&job).await;
        let outcome = fleet.clerk.outcome(&job).await;
        assert!(
            matches!(outcome, event::Reply::Cancelled),
            "{how}: {outcome:?}"
        );
    }
    fleet.working.stop().await;
    assert_eq!(fleet.clerk.ready("q").await, 0);
}

#[tokio::test]
async fn a_paused_queue_is_left_alone_until_it_is_resumed() {
    let mut fleet = Fleet::greeted().await;
    let first = fleet.running("x").await;
    fleet.clerk.tell(pause()).await;
    fleet.consumes_no_more().await;
    let second = fleet.submit("x").await;
    fleet.door.open(1);
    fleet.clerk.outcome(&first).await;
    assert_eq!(fleet.untouched().await, (1, 0));
    fleet.clerk.tell(resume()).await;
    fleet.door.open(1);
    fleet.clerk.outcome(&second).await;
    fleet.working.stop().await;
    assert_eq!(
        fleet.clerk.ready("q").await,
        0,
        "what ran through the pause was acknowledged too"
    );
}

#[tokio::test]
async fn a_greeting_says_which_queues_are_paused() {
    let paused = |clerk: &mut Clerk| clerk.paused = vec!["q".to_owned()];
    let mut fleet = Fleet::with(options("c"), paused).await;
    let job = fleet.submit("x").await;
    fleet.clerk.greeted().await;
    fleet.clerk.report(|_| true).await;
    assert_eq!(fleet.untouched().await, (1, 0));
    fleet.clerk.tell(resume()).await;
    fleet.door.open(1);
    fleet.clerk.outcome(&job).await;
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_refused_delivery_is_stopped_and_acknowledged_at_once() {
    let mut fleet = Fleet::greeted().await;
    let deaf = fleet.running("deaf").await;
    let next = fleet.submit("x").await;
    let refused = Control {
        refused: vec![deaf.wire.message_id.clone()],
        ..Control::default()
    };
    fleet.clerk.tell(refused).await;
    eventually("its place is free", async || {
        fleet.clerk.ready("q").await == 0
    })
    .await;
    fleet.door.open(2);
    let outcome = fleet.clerk.outcome(&deaf).await;
    assert!(matches!(outcome, event::Reply::Succeeded { .. }));
    fleet.clerk.outcome(&next).await;
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_quiet_worker_finishes_what_it_has_and_stays() {
    let mut fleet = Fleet::greeted().await;
    let first = fleet.running("x").await;
    let quiet = Control {
        quiet: true,
        ..Control::default()
    };
    fleet.clerk.tell(quiet).await;
    fleet.consumes_no_more().await;
    fleet.submit("x").await;
    fleet.door.open(2);
    fleet.clerk.outcome(&first).await;
    fleet.clerk.report(|report| report.in_hand.is_empty()).await;
    assert_eq!(fleet.untouched().await, (1, 0));
    fleet.working.stop().await;
}

#[tokio::test]
async fn a_clerk_can_stop_a_worker() {
    let fleet = Fleet::greeted().await;
    let stop = Control {
        stop: true,
        ..Control::default()
    };
    fleet.clerk.tell(stop).await;
    fleet.working.ended().await;
}

#[tokio::test]
async fn control_messages_of_others_are_ignored_where_the_clerks_user_is_set() {
    let settings = Options {
        clerk_user: Some("clerk".to_owned()),
        ..options("c")
    };
    // The clerk of these tests sets no user, so its greetings are nobody's.
    let mut fleet = Fleet::with(settings, |_| ()).await;
    for _ in 0..3 {
        let report = fleet.clerk.report(|_| true).await;
        assert!(!report.worker.greeted);
    }
    let real = clerkwork_wire::Envelope {
        user_id: Some("clerk".to_owned()),
        ..hello().encode()
    };
    let message = clerkwork_broker::Message {
        exchange: fleet.clerk.names.control(),
        key: String::new(),
        durable: false,
        envelope: real,
    };
    fleet.clerk.broker.send(vec![message]).await;
    fleet.clerk.greeted().await;
    fleet.working.stop().await;
}
