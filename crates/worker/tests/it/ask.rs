//! Deliveries that may have been started before: asked about, and started only when granted.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::Broker;
use clerkwork_core::{UnixMs, event};
use clerkwork_wire::v1::{Control, Granted, Held, Report};
use clerkwork_worker::{Attempt, JobError, Options, State, Worker};

use crate::fickle::Fickle;
use crate::support::{Clerk, Door, Submission, Working, eventually, job, options, text};

/// Waits at the door and answers with the number of its attempt.
async fn wait((): (), State(door): State<Door>, Attempt(n): Attempt) -> Result<u32, JobError> {
    door.pass().await;
    Ok(n)
}

/// A clerk that answers no questions by itself, and a worker.
pub(crate) struct Fleet {
    fickle: Arc<Fickle>,
    pub(crate) clerk: Clerk,
    working: Working,
    pub(crate) door: Door,
}

impl Fleet {
    pub(crate) async fn of(concurrency: usize) -> Self {
        Self::with(concurrency, Duration::from_secs(60)).await
    }

    async fn with(concurrency: usize, hold_after: Duration) -> Self {
        let (fickle, door) = (Fickle::new("a"), Door::new());
        let mut clerk = Clerk::new(Arc::clone(&fickle.calm), "a", &["q"]).await;
        clerk.grants = false;
        let settings = Options {
            hold_after,
            ..options("a")
        };
        let worker = Worker::new(door.clone()).queue("q", wait);
        let broker: Arc<dyn Broker> = fickle.clone();
        let working = Working::start(worker.concurrency(concurrency).options(settings), &broker);
        clerk.greeted().await;
        Self {
            fickle,
            clerk,
            working,
            door,
        }
    }

    /// Submits a job that may only be started when granted.
    pub(crate) async fn submit(&self) -> Submission {
        let mut submission = job(&self.clerk.names, "null");
        submission.wire.ask = true;
        let envelope = submission.wire.clone().encode();
        self.clerk.publish("q", envelope).await;
        submission
    }

    /// Waits until a report asks for exactly these.
    pub(crate) async fn asked(&mut self, jobs: &[&Submission]) -> Report {
        let words: Vec<_> = jobs
            .iter()
            .map(|job| job.wire.correlation.clone())
            .collect();
        let asks = |report: &Report| {
            words.len() == report.asking.len()
                && words.iter().all(|word| report.asking.contains(word))
        };
        self.clerk.report(asks).await
    }

    pub(crate) async fn refuse(&self, job: &Submission) {
        let refused = vec![job.wire.message_id.clone()];
        self.clerk
            .tell(Control {
                refused,
                ..Control::default()
            })
            .await;
    }

    pub(crate) async fn grant(&self, job: &Submission) {
        self.grant_as(job, &job.wire.correlation, None).await;
    }

    async fn grant_as(&self, job: &Submission, correlation: &str, attempt: Option<u32>) {
        let granted = vec![Granted {
            message: job.wire.message_id.clone(),
            correlation: correlation.to_owned(),
            attempt,
        }];
        self.clerk
            .tell(Control {
                granted,
                ..Control::default()
            })
            .await;
    }

    /// Stops the worker, after which the queue has nothing left.
    pub(crate) async fn ends_empty(self) {
        self.working.stop().await;
        assert_eq!(self.clerk.ready("q").await, 0);
        assert_eq!(self.door.waiting(), 0);
    }
}

#[tokio::test]
async fn what_is_delivered_for_the_first_time_is_not_asked_about() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.clerk.submit("q", "null").await;
    fleet.door.somebody().await;
    fleet
        .clerk
        .report(|report| !report.in_hand.is_empty())
        .await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "1");
    assert!(
        fleet
            .clerk
            .heard
            .iter()
            .all(|report| report.asking.is_empty())
    );
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_job_that_is_to_be_asked_about_starts_only_when_granted_and_is_asked_about_until_then() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.submit().await;
    for _ in 0..4 {
        let report = fleet.asked(&[&job]).await;
        assert!(report.in_hand.iter().all(|hand| hand.started_at.is_none()));
    }
    assert_eq!(fleet.door.waiting(), 0);
    fleet.grant(&job).await;
    fleet.door.somebody().await;
    fleet.asked(&[]).await;
    // A clerk that answers late, or again, changes nothing.
    fleet.grant(&job).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "1");
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_refused_delivery_is_acknowledged_and_answered_by_nobody() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.submit().await;
    fleet.asked(&[&job]).await;
    fleet.refuse(&job).await;
    fleet.asked(&[]).await;
    // The next reply is the next job's.
    let next = fleet.clerk.submit("q", "null").await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&next).await), "1");
    fleet.door.somebody().await;
    fleet.ends_empty().await;
}

#[tokio::test]
async fn what_its_last_worker_left_behind_is_asked_about() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.clerk.submit("q", "null").await;
    fleet.door.somebody().await;
    fleet.working.kill().await;
    let worker = Worker::new(fleet.door.clone()).queue("q", wait);
    let broker: Arc<dyn Broker> = fleet.fickle.clone();
    fleet.working = Working::start(worker.options(options("a")), &broker);
    fleet.asked(&[&job]).await;
    assert_eq!(fleet.door.waiting(), 0);
    fleet.grant(&job).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "1");
    fleet.door.somebody().await;
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_question_that_waits_holds_up_no_other_job() {
    let mut fleet = Fleet::of(1).await;
    let asked = fleet.submit().await;
    fleet.asked(&[&asked]).await;
    for _ in 0..3 {
        let other = fleet.clerk.submit("q", "null").await;
        fleet.door.open(1);
        fleet.door.somebody().await;
        assert_eq!(text(&fleet.clerk.outcome(&other).await), "1");
    }
    // Nor does it hold up other questions for long.
    let next = fleet.submit().await;
    fleet.asked(&[&asked, &next]).await;
    fleet.grant(&next).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&next).await), "1");
    fleet.grant(&asked).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&asked).await), "1");
    for _ in 0..2 {
        fleet.door.somebody().await;
    }
    fleet.ends_empty().await;
}

#[tokio::test]
async fn one_question_is_asked_at_a_time_and_only_with_a_slot_free() {
    let mut fleet = Fleet::of(2).await;
    let long = fleet.clerk.submit("q", "null").await;
    fleet.door.somebody().await;
    let (first, second) = (fleet.submit().await, fleet.submit().await);
    fleet.asked(&[&first]).await;
    fleet.grant(&first).await;
    fleet.door.somebody().await;
    // Both slots are taken now.
    for _ in 0..3 {
        fleet.asked(&[]).await;
    }
    fleet.door.open(1);
    fleet.clerk.reply().await;
    fleet.asked(&[&second]).await;
    fleet.grant(&second).await;
    fleet.door.open(2);
    let rest = [fleet.clerk.reply().await, fleet.clerk.reply().await];
    let all = fleet.clerk.heard.iter();
    assert!(all.into_iter().all(|report| report.asking.len() <= 1));
    assert!(
        rest.iter()
            .any(|reply| reply.head.correlation == second.wire.correlation)
    );
    drop(long);
    fleet.door.somebody().await;
    fleet.ends_empty().await;
}

#[tokio::test]
async fn while_a_job_runs_whose_last_worker_was_lost_nothing_else_is_asked_about() {
    let mut fleet = Fleet::of(4).await;
    let (first, second) = (fleet.submit().await, fleet.submit().await);
    // Neither is answered at once, so both are asked about.
    fleet.asked(&[&first, &second]).await;
    fleet.grant_as(&first, "anew", Some(2)).await;
    fleet.door.somebody().await;
    for _ in 0..3 {
        fleet.asked(&[]).await;
    }
    // What nobody had before starts all the same.
    let third = fleet.clerk.submit("q", "null").await;
    fleet.door.somebody().await;
    fleet.door.open(2);
    fleet.clerk.reply().await;
    fleet.clerk.reply().await;
    fleet.asked(&[&second]).await;
    fleet.grant(&second).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&second).await), "1");
    fleet.door.somebody().await;
    drop(third);
    fleet.ends_empty().await;
}

#[tokio::test]
async fn what_is_cancelled_while_it_is_asked_about_is_answered_as_cancelled() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.submit().await;
    fleet.asked(&[&job]).await;
    fleet.clerk.cancel(&job).await;
    let outcome = fleet.clerk.outcome(&job).await;
    assert!(matches!(outcome, event::Reply::Cancelled));
    fleet.asked(&[]).await;
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_worker_that_drains_gives_back_what_it_asks_about() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.submit().await;
    fleet.asked(&[&job]).await;
    fleet.working.stop().await;
    assert_eq!((fleet.clerk.ready("q").await, fleet.door.waiting()), (1, 0));
}

#[tokio::test]
async fn a_grant_under_another_number_is_run_answered_and_held_under_that() {
    let mut fleet = Fleet::with(1, Duration::from_millis(400)).await;
    let job = fleet.submit().await;
    fleet.asked(&[&job]).await;
    fleet.grant_as(&job, "another", Some(2)).await;
    fleet.door.somebody().await;
    let listed = |held| {
        move |report: &Report| {
            let hand = report.in_hand.first();
            hand.is_some_and(|hand| hand.correlation == "another" && hand.held == held)
        }
    };
    // It comes again by the number that it was delivered with, and is adopted.
    fleet.fickle.cut();
    fleet.clerk.report(|report| !report.worker.greeted).await;
    fleet.clerk.report(listed(Held::Asked)).await;
    let held = vec![format!("{}:2", job.job)];
    fleet
        .clerk
        .tell(Control {
            held,
            ..Control::default()
        })
        .await;
    fleet.clerk.report(listed(Held::Yes)).await;
    assert_eq!(fleet.door.waiting(), 0, "it runs once");
    fleet.door.open(1);
    let reply = fleet.clerk.reply().await;
    assert_eq!(reply.head.correlation, "another");
    assert_eq!(text(&reply.outcome(2).unwrap()), "2");
    fleet.ends_empty().await;
}

#[tokio::test]
async fn what_was_granted_in_time_starts_though_its_start_deadline_has_passed_since() {
    let mut fleet = Fleet::of(1).await;
    let mut late = job(&fleet.clerk.names, "null");
    (late.wire.ask, late.wire.start_by) = (true, Some(UnixMs(1)));
    fleet.clerk.publish("q", late.wire.clone().encode()).await;
    fleet.asked(&[&late]).await;
    fleet.grant(&late).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&late).await), "1");
    fleet.door.somebody().await;
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_second_delivery_of_a_running_job_is_asked_about_once_a_report_says_that_it_runs() {
    let mut fleet = Fleet::of(2).await;
    let first = fleet.clerk.submit("q", "null").await;
    fleet.door.somebody().await;
    let mut second = first.wire.clone();
    second.correlation = format!("{}-of-2", second.correlation);
    second.message_id = format!("{}:2", first.job);
    second.ask = true;
    fleet.clerk.publish("q", second.clone().encode()).await;
    let report = fleet.clerk.report(|report| !report.asking.is_empty()).await;
    assert_eq!(report.asking, [second.correlation]);
    let runs = |hand: &clerkwork_wire::v1::InHand| {
        hand.correlation == first.wire.correlation && hand.started_at.is_some()
    };
    assert!(report.in_hand.iter().any(runs));
    fleet
        .clerk
        .tell(Control {
            refused: vec![second.message_id],
            ..Control::default()
        })
        .await;
    fleet.asked(&[]).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&first).await), "1");
    fleet.ends_empty().await;
}

#[tokio::test]
async fn a_connection_that_is_lost_while_a_question_waits_asks_again_on_the_next() {
    let mut fleet = Fleet::of(1).await;
    let job = fleet.submit().await;
    let before = fleet.asked(&[&job]).await.worker.control;
    fleet.fickle.cut();
    let after = fleet
        .clerk
        .report(|report| !report.asking.is_empty() && report.worker.control != before)
        .await;
    assert_eq!(after.asking, std::slice::from_ref(&job.wire.correlation));
    fleet.grant(&job).await;
    fleet.door.open(1);
    assert_eq!(text(&fleet.clerk.outcome(&job).await), "1");
    fleet.door.somebody().await;
    let names = fleet.clerk.names.jobs("q");
    let broker = fleet.clerk.broker.clone();
    eventually("nothing is left", async || {
        broker.look(&names).await.unwrap().unwrap().ready == 0
    })
    .await;
    fleet.ends_empty().await;
}
