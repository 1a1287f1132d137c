//! The check: all rules over a history, and what there was of everything.

use std::fmt;

use crate::event::Status;
use crate::history::History;
use crate::rules;

/// What is asked of a history beyond what always holds.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The nodes from which every job must have been read when everything was over.
    pub clerks: Vec<String>,
    /// Whether every job must have run exactly once, as it does where nothing fails.
    pub once: bool,
    /// How long after a job was shown as cancelled a run of it may still start; `None` where faults keep
    /// clerks from telling workers.
    pub cancel_grace_ms: Option<i64>,
    /// By how much a job may start before it is due, since clocks disagree.
    pub early_ms: i64,
    /// By how much a job may start after its start deadline, since a worker decides before it starts.
    pub late_ms: i64,
    /// How long after everything is whole again, and after it is due, a job may take to end.
    pub drain_ms: Option<i64>,
    /// Whether every job that ended with a webhook must have been told.
    pub webhooks: bool,
    /// How many jobs must have been accepted for the history to say anything.
    pub least_accepted: u64,
    /// How many planned faults must have fired.
    pub least_faults: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            clerks: Vec::new(),
            once: false,
            cancel_grace_ms: Some(1_000),
            early_ms: 50,
            late_ms: 1_000,
            drain_ms: None,
            webhooks: false,
            least_accepted: 0,
            least_faults: 0,
        }
    }
}

/// A promise that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// An accepted job has not ended, or a clerk does not know it.
    Lost,
    /// A job that nobody submitted, or whose every submission was refused.
    Unasked,
    /// A job was answered with "there is none" after it was accepted or shown.
    ReadYourAccept,
    /// Two jobs of one idempotency key, or of one submission.
    OneJob,
    /// A job was shown with two outcomes.
    OneOutcome,
    /// A job was shown as ended and later, to a question asked after that, as unfinished or older.
    StepBack,
    /// A job succeeded with an output that no run of it made.
    NoSuchRun,
    /// A run was given an input that was cut, empty or another.
    BadInput,
    /// A process that a run had started was left when its worker was gone.
    Orphan,
    /// A job failed that nothing made fail.
    FailedForNothing,
    /// A job ran more or less often than once though nothing failed.
    Once,
    /// A job started after it was cancelled.
    StartedCancelled,
    /// A job started before it was due.
    Early,
    /// A job started for the first time after its start deadline.
    Late,
    /// A job with a webhook ended and its receiver was never told.
    Untold,
    /// It took too long until a job ended once everything was whole again.
    Drain,
    /// So little happened that the history proves nothing.
    Vacuous,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// By which job; empty where it is about none.
    pub job: String,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.rule, self.job, self.what)
    }
}

/// How much there was of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were answered.
    pub ok: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls of which nobody knows what became.
    pub unknown: u64,
    /// Times a job was shown.
    pub views: u64,
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Jobs that were accepted or shown.
    pub jobs: u64,
    /// Jobs that succeeded.
    pub succeeded: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that expired.
    pub expired: u64,
    /// Runs that started.
    pub runs: u64,
    /// Runs beyond the one that each job needs and those that failed.
    pub duplicates: u64,
    /// Calls of webhooks' receivers.
    pub webhooks: u64,
    /// Faults that were planned.
    pub planned: u64,
    /// Faults that fired.
    pub fired: u64,
    /// From when everything was whole again until the last job ended.
    pub drain_ms: i64,
}

/// What a history comes to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The rules that were broken, by rule and job.
    pub violations: Vec<Violation>,
    /// How much there was of everything.
    pub counts: Counts,
}

/// Checks a history.
#[must_use]
pub fn check(history: &History, rules: &Rules) -> Verdict {
    let mut violations = history.found.clone();
    let counts = counts(history);
    rules::durable::check(history, rules, &mut violations);
    rules::outcome::check(history, &mut violations);
    rules::runs::check(history, rules, &mut violations);
    rules::drain::check(history, rules, &mut violations);
    rules::vacuous::check(history, rules, &counts, &mut violations);
    violations.sort_by(|one, other| (one.rule, &one.job).cmp(&(other.rule, &other.job)));
    Verdict { violations, counts }
}

const fn count(counts: &mut Counts, status: Status) {
    match status {
        Status::Succeeded => counts.succeeded += 1,
        Status::Failed => counts.failed += 1,
        Status::Cancelled => counts.cancelled += 1,
        Status::Expired => counts.expired += 1,
        Status::Scheduled | Status::Queued | Status::Running => {}
    }
}

fn counts(history: &History) -> Counts {
    let mut counts = history.counts;
    for trace in history.jobs.values() {
        counts.jobs += u64::from(trace.is_known());
        counts.duplicates += trace.duplicates();
        let Some(outcome) = &trace.outcome else {
            continue;
        };
        count(&mut counts, outcome.status);
        if let (Some(healed), Some(finished)) = (history.healed_at, outcome.finished_at) {
            counts.drain_ms = counts.drain_ms.max(finished - healed);
        }
    }
    for [planned, fired, _] in history.faults.values() {
        counts.planned += u64::from(*planned);
        counts.fired += u64::from(*fired);
    }
    counts
}
