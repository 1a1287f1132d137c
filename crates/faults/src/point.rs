//! Points of a job's path at which the process can be told to kill itself.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Unknown;

crate::named! {
    /// One arrow of a job's path.
    Point as "point" {
        /// A batch of new jobs is written, not committed.
        IntakeBeforeCommit = "intake.before_commit",
        /// It is committed.
        IntakeAfterCommit = "intake.after_commit",
        /// The answer to a submission is about to be given.
        IntakeBefore202 = "intake.before_202",
        /// A dispatch is about to be published.
        DispatchBeforePublish = "dispatch.before_publish",
        /// It is handed to the broker's connection.
        DispatchAfterPublish = "dispatch.after_publish",
        /// It is confirmed.
        DispatchAfterConfirm = "dispatch.after_confirm",
        /// A clerk is about to write its heartbeat and watermark.
        WatermarkBeforeWrite = "watermark.before_write",
        /// It has.
        WatermarkAfterWrite = "watermark.after_write",
        /// A worker has a delivery.
        WorkerAfterDelivery = "worker.after_delivery",
        /// It is about to run the handler.
        WorkerBeforeStart = "worker.before_start",
        /// The handler has ended.
        WorkerAfterRun = "worker.after_run",
        /// The reply is handed to the broker's connection.
        WorkerAfterReplyPublish = "worker.after_reply_publish",
        /// The reply is confirmed.
        WorkerAfterReplyConfirm = "worker.after_reply_confirm",
        /// The delivery is acknowledged.
        WorkerAfterAck = "worker.after_ack",
        /// A report that asks a clerk to hold a job is sent.
        WorkerAfterHeldReport = "worker.after_held_report",
        /// A held job's delivery is acknowledged.
        WorkerAfterHeldAck = "worker.after_held_ack",
        /// A recorder has a batch of replies.
        RecordAfterConsume = "record.after_consume",
        /// What became of them is written, not committed.
        RecordBeforeCommit = "record.before_commit",
        /// It is committed.
        RecordAfterCommit = "record.after_commit",
        /// The replies are acknowledged.
        RecordAfterAck = "record.after_ack",
        /// Waiters and other clerks are about to be told.
        SettleBeforeNotice = "settle.before_notice",
        /// The scheduler has claimed what is due.
        SchedAfterClaim = "sched.after_claim",
        /// A webhook is about to be sent.
        WebhookBeforeSend = "webhook.before_send",
        /// It is answered, which is not recorded yet.
        WebhookAfterSend = "webhook.after_send",
    }
}

/// Where and at which time, counted from 1, the process kills itself: `POINT=abort@TIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where.
    pub point: Point,
    /// At which time it comes there.
    pub time: u64,
}

impl FromStr for Plan {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let unfit = || Unknown(format!("{text:?} is not POINT=abort or POINT=abort@TIME"));
        let (point, action) = text.split_once('=').ok_or_else(unfit)?;
        let time = match action.split_once('@') {
            None if action == "abort" => 1,
            Some(("abort", time)) => time
                .parse()
                .ok()
                .filter(|&time| time > 0)
                .ok_or_else(unfit)?,
            _ => return Err(unfit()),
        };
        Ok(Self {
            point: point.parse()?,
            time,
        })
    }
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static TIMES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn arm(plan: Plan) {
    // The first plan counts; a process is armed once.
    let _ = PLAN.set(plan);
}

/// Says that a job's path has come to `point`: kills this process with SIGKILL if that is planned for
/// here and now. Nothing in a release build.
#[inline(always)]
pub fn reach(point: Point) {
    if is_planned(point) {
        come();
    }
}

/// Whether this process is to be killed at `point`: then what would pass it unseen, a statement that
/// brings its commit along say, takes the way on which it is. Never in a release build.
#[inline(always)]
#[must_use]
pub fn is_planned(point: Point) -> bool {
    crate::ARMED && PLAN.get().is_some_and(|plan| plan.point == point)
}

#[cold]
fn come() {
    let time = TIMES.fetch_add(1, Ordering::Relaxed) + 1;
    if PLAN.get().is_some_and(|plan| plan.time == time) {
        // Not a panic, which would run destructors and close connections in good order.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_point_and_a_time() {
        let plan = |point, time| Ok(Plan { point, time });
        assert_eq!(
            "record.after_commit=abort@3".parse(),
            plan(Point::RecordAfterCommit, 3)
        );
        assert_eq!(
            "worker.after_ack=abort".parse(),
            plan(Point::WorkerAfterAck, 1)
        );
    }

    #[test]
    fn a_plan_that_cannot_be_kept_is_refused_with_what_there_is() {
        for text in [
            "record.after_commit",
            "record.after_commit=panic",
            "worker.after_ack=abort@0",
            "a=abort@x",
        ] {
            text.parse::<Plan>().expect_err(text);
        }
        let unknown = "record.never=abort"
            .parse::<Plan>()
            .expect_err("unknown")
            .to_string();
        assert!(
            unknown.contains("\"record.never\"") && unknown.contains("record.after_ack"),
            "{unknown}"
        );
    }
}
