//! The words of a history: what clients, workers, receivers and the hand that injects faults write down.

use serde::{Deserialize, Serialize};

/// Something that was seen; one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A client is about to call a node.
    Invoke {
        /// The call's number, never given twice.
        call: u64,
        /// Who calls.
        client: String,
        /// Whom.
        node: String,
        /// What for.
        op: Op,
    },
    /// A call that goes on has shown a job: a stream's state, or one of a list.
    Seen {
        /// The call.
        call: u64,
        /// What it showed.
        view: View,
    },
    /// A call was answered: with a job, or, where one job was asked for, with "there is none".
    Ok {
        /// The call.
        call: u64,
        /// What it showed.
        view: Option<View>,
    },
    /// A call was refused, and has changed nothing for certain.
    Fail {
        /// The call.
        call: u64,
        /// Why.
        why: String,
    },
    /// Nobody will ever know what became of a call.
    Info {
        /// The call.
        call: u64,
        /// Why.
        why: String,
    },
    /// A worker starts to run a job.
    Start {
        /// The worker.
        worker: String,
        /// The job.
        job: String,
        /// Of which submission.
        token: Option<String>,
        /// The run's own word, never said twice; the output carries it.
        nonce: String,
    },
    /// A run has ended.
    End {
        /// The worker.
        worker: String,
        /// The job.
        job: String,
        /// The run.
        nonce: String,
        /// How.
        how: How,
    },
    /// A run was given an input that is not whole.
    BadInput {
        /// The worker.
        worker: String,
        /// The job.
        job: String,
        /// The fault of the input.
        why: String,
    },
    /// A process that a run had started was there after its worker.
    Orphan {
        /// The job.
        job: String,
        /// The process.
        process: String,
    },
    /// A webhook's receiver was called.
    Webhook {
        /// The delivery's id.
        delivery: String,
        /// What it was told.
        view: View,
    },
    /// A fault was planned, fired or healed.
    Fault {
        /// Which; two at once have two names.
        fault: String,
        /// What of it.
        phase: Phase,
    },
    /// Everything is whole again, for good.
    Healed,
    /// What a check has found, for whoever reads the history; it is nothing that was seen.
    Violation {
        /// The rule that was broken.
        rule: String,
        /// By which job.
        job: String,
        /// How.
        what: String,
    },
}

impl What {
    /// The event that this was seen then.
    #[must_use]
    pub const fn at(self, at: i64) -> Event {
        Event { at, what: self }
    }
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// To submit a job.
    Submit(Submission),
    /// To look at a job, waiting for its end or not, or to follow it.
    Read {
        /// Which.
        job: String,
    },
    /// To cancel a job.
    Cancel {
        /// Which.
        job: String,
    },
    /// To list jobs.
    List,
    /// To look at a job when everything is over.
    Final {
        /// Which.
        job: String,
    },
    /// To list jobs when everything is over.
    FinalList,
}

/// A job as it is submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The job's own word, which is shown with it. Submissions with the same idempotency key say the same
    /// one, all others have one each: there is at most one job of a token.
    pub token: String,
    /// How much later than it was submitted it is due.
    #[serde(default)]
    pub delay_ms: i64,
    /// By how long after it is due it must have started.
    #[serde(default)]
    pub start_within_ms: Option<i64>,
    /// Whether it may end as failed: it is told to fail, or its workers are killed.
    #[serde(default)]
    pub may_fail: bool,
    /// Whether it has a webhook.
    #[serde(default)]
    pub webhook: bool,
}

/// A job as it was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its id.
    pub job: String,
    /// Of which submission it is, if that was shown.
    #[serde(default)]
    pub token: Option<String>,
    /// Its state.
    pub status: Status,
    /// The nonce that its output carries, if an output was shown.
    #[serde(default)]
    pub nonce: Option<String>,
    /// What its error is, if one was shown.
    #[serde(default)]
    pub error: Option<String>,
    /// When its attempt is or was due, which a failed one puts off, if that was shown.
    #[serde(default)]
    pub due_at: Option<i64>,
    /// When it ended, if that was shown.
    #[serde(default)]
    pub finished_at: Option<i64>,
    /// Its revision, which rises with every change of state, if that was shown.
    #[serde(default)]
    pub rev: Option<u64>,
}

/// A job's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not due.
    Scheduled,
    /// Due.
    #[default]
    Queued,
    /// In a worker's hands.
    Running,
    /// Has an output.
    Succeeded,
    /// Has an error.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Was not started in time.
    Expired,
}

impl Status {
    /// Whether nothing may follow it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Queued | Self::Running)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// With an output.
    Succeeded,
    /// With an error.
    Failed,
    /// It was told to stop.
    Stopped,
}

/// What of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It will be injected.
    Planned,
    /// It was.
    Fired,
    /// It is over.
    Healed,
}
