//! Processes kill themselves at every point of a job's path: what was accepted ends, and ends once.

mod round;

use std::time::Duration;

use clerkwork_faults::Point;
use clerkwork_faults::Point as P;
use clerkwork_tests::Kind;
use futures_util::future::join_all;

use round::{Site, Victim};

/// Where a process kills itself, and at which time it comes there.
pub(crate) type Kill = (Point, u64);

/// A clerk, before it commits new jobs.
const BEFORE_THE_COMMIT: &[Kill] = &[(P::IntakeBeforeCommit, 1), (P::IntakeBeforeCommit, 3)];

/// A clerk that has committed new jobs, before it has published them.
const COMMITTED: &[Kill] = &[
    (P::IntakeAfterCommit, 2),
    (P::IntakeBefore202, 7),
    (P::DispatchBeforePublish, 1),
    (P::DispatchBeforePublish, 3),
];

/// A clerk that has published, before a watermark says so.
const PUBLISHED: &[Kill] = &[
    (P::DispatchAfterPublish, 5),
    (P::DispatchAfterConfirm, 9),
    (P::WatermarkBeforeWrite, 4),
    (P::WatermarkAfterWrite, 4),
];

/// A worker, wherever a delivery of it is.
const WORKER: &[Kill] = &[
    (P::WorkerAfterDelivery, 3),
    (P::WorkerBeforeStart, 4),
    (P::WorkerAfterRun, 5),
    (P::WorkerAfterReplyPublish, 2),
    (P::WorkerAfterReplyConfirm, 3),
    (P::WorkerAfterAck, 4),
    (P::WorkerAfterHeldReport, 1),
    (P::WorkerAfterHeldAck, 2),
];

/// A clerk that records and tells.
const RECORDING: &[Kill] = &[
    (P::WebhookBeforeSend, 1),
    (P::WebhookAfterSend, 2),
    (P::RecordAfterConsume, 2),
    (P::RecordBeforeCommit, 2),
    (P::RecordAfterCommit, 3),
    (P::RecordAfterAck, 2),
    (P::SettleBeforeNotice, 4),
    (P::SchedAfterClaim, 1),
];

/// Every kill of a process of a fleet.
pub(crate) const FLEET: [&[Kill]; 5] = [BEFORE_THE_COMMIT, COMMITTED, PUBLISHED, WORKER, RECORDING];

/// The one process of the embedded mode.
pub(crate) const EMBEDDED: &[Kill] = &[
    (P::WebhookBeforeSend, 1),
    (P::WebhookAfterSend, 2),
    (P::IntakeBeforeCommit, 1),
    (P::IntakeBeforeCommit, 4),
    (P::IntakeAfterCommit, 2),
    (P::IntakeBefore202, 9),
    (P::DispatchBeforePublish, 2),
    (P::DispatchAfterConfirm, 7),
    (P::WatermarkBeforeWrite, 3),
    (P::WatermarkAfterWrite, 3),
    (P::WorkerAfterDelivery, 5),
    (P::WorkerBeforeStart, 6),
    (P::WorkerAfterRun, 8),
    (P::WorkerAfterReplyConfirm, 3),
    (P::WorkerAfterAck, 4),
    (P::RecordAfterConsume, 3),
    (P::RecordBeforeCommit, 4),
    (P::RecordAfterCommit, 2),
    (P::RecordAfterAck, 3),
    (P::SettleBeforeNotice, 6),
    (P::SchedAfterClaim, 2),
];

/// Kills one process after another, and sees in between that everything has ended.
async fn survives(kind: Kind, victim: Victim, kills: &[Kill]) {
    let mut site = Site::open(kind).await;
    for kill in kills {
        site.kill(victim, *kill).await;
    }
    site.close().await;
}

#[tokio::test]
async fn the_embedded_process_may_be_killed_at_every_point() {
    let (first, second) = EMBEDDED.split_at(EMBEDDED.len() / 2);
    let halves = [first, second].map(|half| survives(Kind::Embedded, Victim::All, half));
    join_all(halves).await;
}

#[tokio::test]
async fn a_clerk_killed_before_its_commit_leaves_whole_jobs_or_none() {
    survives(Kind::Fleet, Victim::Clerk, BEFORE_THE_COMMIT).await;
}

#[tokio::test]
async fn what_a_killed_clerk_had_committed_runs_without_it() {
    survives(Kind::Fleet, Victim::Clerk, COMMITTED).await;
}

#[tokio::test]
async fn what_a_killed_clerk_had_published_runs_at_most_once_more() {
    survives(Kind::Fleet, Victim::Clerk, PUBLISHED).await;
}

#[tokio::test]
async fn jobs_of_a_killed_worker_run_again_or_have_their_reply_recorded() {
    let (first, second) = WORKER.split_at(WORKER.len() / 2);
    let halves = [first, second].map(|half| survives(Kind::Fleet, Victim::Worker, half));
    join_all(halves).await;
}

#[tokio::test]
async fn a_clerk_killed_while_it_records_loses_no_outcome_and_adds_no_event() {
    let (first, second) = RECORDING.split_at(RECORDING.len() / 2);
    let halves = [first, second].map(|half| survives(Kind::Fleet, Victim::Clerk, half));
    join_all(halves).await;
}

#[tokio::test]
async fn jobs_of_clerks_that_were_all_killed_run_under_another_clerk() {
    let mut site = Site::open(Kind::Fleet).await;
    site.kill_all_clerks().await;
    site.close().await;
}

/// How long all may take to end once a process was killed: a clerk's silence, a lease, a busy machine.
const HEALED: Duration = Duration::from_secs(60);
