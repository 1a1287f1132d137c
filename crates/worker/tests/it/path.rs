//! The way of a job through a worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerkwork_broker::memory;
use clerkwork_core::{Failure, JobId, Retry, UnixMs, event};
use clerkwork_worker::{
    Attempt, Cancelled, Deadline, FromState, Input, JobError, Options, Output, Queue, State, Worker,
};
use serde::{Deserialize, Serialize};

use crate::support::{Clerk, Door, Submission, Working, eventually, failure, job, options, text};

#[derive(Deserialize, Serialize)]
struct Upper {
    text: String,
}

async fn upper(input: Upper) -> Result<Upper, JobError> {
    Ok(Upper {
        text: input.text.to_uppercase(),
    })
}

/// Starts a worker of the queue `q` and a clerk.
async fn fleet<S: Clone + Send + Sync + 'static>(worker: Worker<S>) -> (Clerk, Working) {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "p", &["q"]).await;
    let working = Working::start(worker.options(options("p")), &broker);
    clerk.greeted().await;
    (clerk, working)
}

#[tokio::test]
async fn a_job_is_run_by_its_handler_and_answered() {
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", upper)).await;
    let job = clerk.submit("q", r#"{"text": "abc"}"#).await;
    assert_eq!(text(&clerk.outcome(&job).await), r#"{"text":"ABC"}"#);
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0, "it was acknowledged");
}

#[tokio::test]
async fn an_input_that_does_not_fit_fails_for_good_and_says_why() {
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", upper)).await;
    let job = clerk.submit("q", r#"{"txt": "abc"}"#).await;
    let (wrong, retry) = failure(clerk.outcome(&job).await);
    assert_eq!(retry, Retry::Never);
    assert_eq!(wrong.kind, "urn:clerkwork:problem:invalid-input");
    assert!(wrong.detail.unwrap().contains("missing field `text`"));

    let mut png = crate::support::job(&clerk.names, "abc");
    png.wire.content_type = "image/png".to_owned();
    clerk.publish("q", png.wire.clone().encode()).await;
    let (wrong, retry) = failure(clerk.outcome(&png).await);
    assert_eq!(retry, Retry::Never);
    assert!(wrong.detail.unwrap().contains("image/png"));
    working.stop().await;
}

#[tokio::test]
async fn errors_say_whether_to_retry_and_what_happened() {
    async fn fail(how: String) -> Result<(), JobError> {
        match how.as_str() {
            "std" => Err(io::Error::other("disk on fire"))?,
            "fatal" => return Err(JobError::fatal("nothing to draw")),
            "later" => return Err(JobError::retry_after("busy", Duration::from_millis(1_500))),
            "rich" => {
                return Err(JobError::new("x")
                    .with_type("https://example.org/no-paper")
                    .with_title("No paper")
                    .with_detail("tray 2")
                    .with_data([2]));
            }
            _ => panic!("at {how}"),
        }
        Ok(())
    }
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", fail)).await;
    for (how, detail, expected) in [
        ("std", "disk on fire", Retry::Policy),
        ("fatal", "nothing to draw", Retry::Never),
        ("later", "busy", Retry::AfterMs(1_500)),
        ("noon", "the handler panicked: at noon", Retry::Policy),
        ("rich", "tray 2", Retry::Policy),
    ] {
        let job = clerk.submit("q", &format!("\"{how}\"")).await;
        let (failure, retry) = failure(clerk.outcome(&job).await);
        assert_eq!(
            (failure.detail.as_deref(), retry),
            (Some(detail), expected),
            "{how}"
        );
        let rich = how == "rich";
        assert_eq!(failure.kind == "https://example.org/no-paper", rich);
        assert_eq!(failure.title == "No paper", rich);
        assert_eq!(failure.data.is_some_and(|data| data.get() == "[2]"), rich);
    }
    working.stop().await;
}

#[tokio::test]
async fn bytes_go_in_and_other_bytes_come_out() {
    async fn reverse(input: Input) -> Result<Output, JobError> {
        let mut bytes = input.bytes.to_vec();
        bytes.reverse();
        Ok(Output::new(
            format!("{}+reversed", input.content_type),
            bytes,
        ))
    }
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", reverse)).await;
    let mut raw = job(&clerk.names, &b"\x00\xff"[..]);
    raw.wire.content_type = "image/x".to_owned();
    clerk.publish("q", raw.wire.clone().encode()).await;
    let event::Reply::Succeeded { media_type, output } = clerk.outcome(&raw).await else {
        panic!("no success")
    };
    assert_eq!(
        (media_type.as_str(), &output[..]),
        ("image/x+reversed", &b"\xff\x00"[..])
    );
    working.stop().await;
}

#[tokio::test]
async fn a_handler_gets_what_it_asks_for() {
    #[derive(Clone)]
    struct App {
        greeting: &'static str,
    }
    struct Greeting(&'static str);
    impl FromState<App> for Greeting {
        fn from_state(app: &App) -> Self {
            Self(app.greeting)
        }
    }
    async fn tell(
        (): (),
        State(Greeting(greeting)): State<Greeting>,
        Attempt(attempt): Attempt,
        id: JobId,
        Queue(queue): Queue,
        deadline: Deadline,
        stop: Cancelled,
    ) -> Result<String, JobError> {
        assert!(!stop.is_cancelled());
        Ok(format!(
            "{greeting} {attempt} {id} {queue} {:?}",
            deadline.timeout
        ))
    }
    let worker = Worker::new(App { greeting: "hello" }).queue("q", tell);
    let (mut clerk, working) = fleet(worker).await;
    let job = clerk.submit("q", "null").await;
    let expected = format!("\"hello 1 {} q 60s\"", job.job);
    assert_eq!(text(&clerk.outcome(&job).await), expected);
    working.stop().await;
}

#[tokio::test]
async fn an_output_over_the_limit_fails_for_good() {
    async fn long(length: usize) -> Result<Output, JobError> {
        Ok(Output::new("text/plain", vec![b'x'; length]))
    }
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "p", &["q"]).await;
    let settings = Options {
        max_output: 1_000,
        ..options("p")
    };
    let working = Working::start(Worker::new(()).queue("q", long).options(settings), &broker);
    let job = clerk.submit("q", "1001").await;
    let (wrong, retry) = failure(clerk.outcome(&job).await);
    assert_eq!(
        (wrong.kind.as_str(), retry),
        (Failure::OUTPUT_TOO_LARGE, Retry::Never)
    );
    let job = clerk.submit("q", "1000").await;
    assert_eq!(text(&clerk.outcome(&job).await).len(), 1_000);
    working.stop().await;
}

/// Submits with a time-out.
async fn submit_within(clerk: &Clerk, timeout_ms: u64) -> Submission {
    let mut submission = job(&clerk.names, "null");
    submission.wire.timeout_ms = timeout_ms;
    clerk.publish("q", submission.wire.clone().encode()).await;
    submission
}

#[tokio::test]
async fn a_time_out_signals_the_handler_and_fails_by_policy() {
    async fn patient((): (), stop: Cancelled) -> Result<(), JobError> {
        stop.cancelled().await;
        Err(JobError::fatal("told to stop"))
    }
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", patient)).await;
    let job = submit_within(&clerk, 100).await;
    let (late, retry) = failure(clerk.outcome(&job).await);
    assert_eq!(
        (late.kind.as_str(), retry),
        (Failure::TIMED_OUT, Retry::Policy)
    );
    working.stop().await;
}

#[tokio::test]
async fn a_handler_that_ignores_its_time_out_is_dropped() {
    async fn deaf((): ()) -> Result<(), JobError> {
        std::future::pending().await
    }
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", deaf).concurrency(1)).await;
    let job = submit_within(&clerk, 100).await;
    assert_eq!(
        failure(clerk.outcome(&job).await).0.kind,
        Failure::TIMED_OUT
    );
    working.stop().await;
}

#[tokio::test]
async fn a_job_of_a_later_version_is_refused_for_good() {
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", upper)).await;
    let next = job(&clerk.names, r#"{"text": "x"}"#);
    let mut envelope = next.wire.clone().encode();
    envelope.headers.set("clerkwork-version", 2);
    clerk.publish("q", envelope).await;
    let (wrong, retry) = failure(clerk.outcome(&next).await);
    assert_eq!(retry, Retry::Never);
    assert!(wrong.detail.unwrap().contains("version 2"));
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn what_is_no_job_is_answered_if_anybody_can_be_and_taken_away() {
    let (mut clerk, working) = fleet(Worker::new(()).queue("q", upper)).await;
    let silent = clerkwork_wire::Envelope {
        body: "junk".into(),
        ..Default::default()
    };
    clerk.publish("q", silent).await;
    let mut odd = job(&clerk.names, "{}");
    odd.wire.message_id = "no-attempt".to_owned();
    clerk.publish("q", odd.wire.clone().encode()).await;
    let (wrong, retry) = failure(clerk.outcome(&odd).await);
    assert_eq!(retry, Retry::Never);
    assert!(wrong.detail.unwrap().contains("no-attempt"));
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0);
}

#[tokio::test]
async fn a_job_past_its_start_deadline_is_answered_expired_unrun() {
    let door = Door::new();
    let (mut clerk, working) = fleet(at(&door, 1)).await;
    let mut late = job(&clerk.names, "null");
    late.wire.start_by = Some(UnixMs(1));
    clerk.publish("q", late.wire.clone().encode()).await;
    assert!(matches!(clerk.outcome(&late).await, event::Reply::Expired));
    assert_eq!(door.waiting(), 0);
    working.stop().await;
}

#[tokio::test]
async fn duplicates_of_a_delivery_are_run_once() {
    let door = Door::new();
    let (mut clerk, working) = fleet(at(&door, 4)).await;
    let job = clerk.submit("q", "null").await;
    door.somebody().await;
    for _ in 0..3 {
        clerk.publish("q", job.wire.clone().encode()).await;
    }
    eventually("all are taken", async || clerk.ready("q").await == 0).await;
    door.open(10);
    clerk.outcome(&job).await;
    clerk.publish("q", job.wire.clone().encode()).await;
    let last = clerk.submit("q", "null").await;
    clerk.outcome(&last).await;
    door.somebody().await;
    assert_eq!(
        door.waiting(),
        0,
        "only the last one has started beside the first"
    );
    working.stop().await;
    assert_eq!(clerk.ready("q").await, 0, "all were acknowledged");
}

/// A worker whose jobs wait at a door.
fn at(door: &Door, concurrency: usize) -> Worker<Door> {
    async fn wait((): (), State(door): State<Door>) -> Result<(), JobError> {
        door.pass().await;
        Ok(())
    }
    Worker::new(door.clone())
        .queue("q", wait)
        .concurrency(concurrency)
}

#[tokio::test]
async fn no_more_jobs_run_than_the_concurrency_says() {
    #[derive(Clone, Default)]
    struct Count(Arc<(AtomicUsize, AtomicUsize)>);
    async fn count((): (), State(Count(count)): State<Count>) -> Result<(), JobError> {
        let now = count.0.fetch_add(1, Ordering::SeqCst) + 1;
        count.1.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        count.0.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
    let counted = Count::default();
    let worker = Worker::new(counted.clone())
        .queue("q", count)
        .concurrency(9);
    let (mut clerk, working) = fleet(worker.concurrency_of("q", 3)).await;
    for _ in 0..500 {
        clerk.submit("q", "null").await;
    }
    for _ in 0..500 {
        clerk.reply().await;
    }
    assert_eq!(counted.0.1.load(Ordering::SeqCst), 3);
    working.stop().await;
}

#[tokio::test]
async fn a_long_job_gives_back_what_waits_behind_it() {
    async fn maybe(wait: bool, State(door): State<Door>) -> Result<(), JobError> {
        if wait {
            door.pass().await;
        }
        Ok(())
    }
    let door = Door::new();
    let worker = Worker::new(door.clone()).queue("q", maybe).concurrency(1);
    let (mut clerk, working) = fleet(worker).await;
    for _ in 0..40 {
        clerk.submit("q", "false").await;
        clerk.reply().await;
    }
    clerk.submit("q", "true").await;
    door.somebody().await;
    for _ in 0..10 {
        clerk.submit("q", "false").await;
    }
    eventually("they are prefetched", async || clerk.ready("q").await < 10).await;
    eventually("they are given back", async || clerk.ready("q").await >= 10).await;
    door.open(1);
    for _ in 0..11 {
        clerk.reply().await;
    }
    working.stop().await;
}
