//! The history: takes events in and keeps of each job what the rules need.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use crate::check::{Counts, Rule, Violation};
use crate::event::{Event, Op, Phase, View, What};
use crate::trace::{Contradiction, Moment, Submitted, Trace};

/// How many violations are kept word for word.
const KEPT: usize = 1_000;

/// What was seen of a system, job by job.
///
/// Answers are pushed in the order in which they came; what workers wrote may come at any time.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) nodes: Vec<String>,
    calls: HashMap<u64, Call>,
    pub(crate) submitted: HashMap<Box<str>, Submitted>,
    /// The first job of each token.
    job_of: HashMap<Box<str>, Box<str>>,
    pub(crate) jobs: HashMap<Box<str>, Trace>,
    pub(crate) faults: BTreeMap<String, [bool; 3]>,
    pub(crate) healed_at: Option<i64>,
    /// What contradicted at once what was seen before.
    pub(crate) found: Vec<Violation>,
    pub(crate) counts: Counts,
}

/// A call that has not ended.
#[derive(Debug)]
struct Call {
    asked: Moment,
    op: Op,
    /// Whether it has shown an end.
    ended: bool,
}

/// A line of a history that says nothing.
#[derive(Debug)]
pub struct Unreadable {
    line: usize,
    why: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} of the history: {}", self.line, self.why)
    }
}

impl std::error::Error for Unreadable {}

impl Event {
    /// The event as a line of JSON, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        // It has no maps and no numbers that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl History {
    /// A history as it was written, a line an event.
    ///
    /// # Errors
    /// A line cannot be read or is no event.
    pub fn from_lines(lines: impl BufRead) -> Result<Self, Unreadable> {
        let mut history = Self::default();
        for (index, line) in lines.lines().enumerate() {
            let unreadable = |why: String| Unreadable {
                line: index + 1,
                why,
            };
            let line = line.map_err(|error| unreadable(error.to_string()))?;
            let event =
                serde_json::from_str(&line).map_err(|error| unreadable(error.to_string()))?;
            history.push(event);
        }
        Ok(history)
    }

    /// Takes an event in.
    pub fn push(&mut self, event: Event) {
        let at = event.at;
        match event.what {
            What::Invoke { call, node, op, .. } => self.invoke(at, call, node, op),
            What::Seen { call, view } => self.seen(at, call, &view),
            What::Ok { call, view } => self.answered(at, call, view.as_ref()),
            What::Fail { call, .. } => self.refused(call),
            What::Info { call, .. } => {
                self.counts.unknown += 1;
                self.calls.remove(&call);
            }
            What::Start {
                job, token, nonce, ..
            } => {
                self.counts.runs += 1;
                let contradiction = self.trace(&job).belong(token.as_deref());
                self.contradict(&job, contradiction);
                if let Some(token) = token {
                    self.one_job(&token, &job);
                }
                self.trace(&job).run(&nonce).started_at = Some(at);
            }
            What::End {
                job, nonce, how, ..
            } => self.trace(&job).run(&nonce).how = Some(how),
            What::BadInput { worker, job, why } => {
                let words = format!("was given a bad input at {worker}: {why}");
                self.violate(Rule::BadInput, &job, &words);
            }
            What::Orphan { job, process } => {
                let words = format!("left a process when its worker was gone: {process}");
                self.violate(Rule::Orphan, &job, &words);
            }
            What::Webhook { view, .. } => {
                self.counts.webhooks += 1;
                let came = self.moment(at, "the webhooks' receiver".to_owned());
                self.show(&view, came, came);
                self.trace(&view.job).delivered = true;
            }
            What::Fault { fault, phase } => {
                let known = self.faults.entry(fault).or_default();
                known[phase_index(phase)] = true;
            }
            What::Healed => self.healed_at = Some(at),
            What::Violation { .. } => {}
        }
    }

    /// How many jobs are accepted so far.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.counts.accepted
    }

    /// The jobs that were accepted or shown.
    pub fn jobs(&self) -> impl Iterator<Item = &str> {
        let known = self.jobs.iter().filter(|(_, trace)| trace.is_known());
        known.map(|(job, _)| &**job)
    }

    /// Whether that job was shown as ended.
    #[must_use]
    pub fn has_ended(&self, job: &str) -> bool {
        self.jobs
            .get(job)
            .is_some_and(|trace| trace.ended.is_some())
    }

    fn invoke(&mut self, at: i64, call: u64, node: String, op: Op) {
        self.counts.calls += 1;
        let asked = self.moment(at, node);
        if let Op::Submit(terms) = &op {
            let submitted = self.submitted.entry(terms.token.as_str().into());
            let submitted = submitted.or_insert_with(|| Submitted {
                terms: terms.clone(),
                invoked_at: at,
                possible: 0,
            });
            submitted.possible += 1;
            submitted.invoked_at = submitted.invoked_at.min(at);
        }
        let ended = false;
        self.calls.insert(call, Call { asked, op, ended });
    }

    fn seen(&mut self, at: i64, call: u64, view: &View) {
        let Some(known) = self.calls.get_mut(&call) else {
            return;
        };
        let asked = known.asked;
        let back = known.ended && !view.status.is_final() && matches!(known.op, Op::Read { .. });
        known.ended |= view.status.is_final();
        let last = matches!(known.op, Op::FinalList);
        let came = Moment {
            at,
            node: asked.node,
        };
        if back {
            self.violate(
                Rule::StepBack,
                &view.job,
                "a stream showed its end, then it unfinished",
            );
        }
        self.show(view, asked, came);
        if last && view.status.is_final() {
            self.trace(&view.job).read_at_the_end |= bit(asked.node);
        }
    }

    fn answered(&mut self, at: i64, call: u64, view: Option<&View>) {
        self.counts.ok += 1;
        let Some(Call { asked, op, .. }) = self.calls.remove(&call) else {
            return;
        };
        let came = Moment {
            at,
            node: asked.node,
        };
        if let Some(view) = view {
            self.show(view, asked, came);
        }
        match (op, view) {
            (Op::Submit(terms), Some(view)) => self.accept(at, &terms.token, &view.job),
            (Op::Final { .. }, Some(view)) if view.status.is_final() => {
                self.trace(&view.job).read_at_the_end |= bit(asked.node);
            }
            (Op::Read { job } | Op::Cancel { job } | Op::Final { job }, None) => {
                let missing = &mut self.trace(&job).missing;
                if missing.is_none_or(|known| asked.at > known.at) {
                    *missing = Some(asked);
                }
            }
            _ => {}
        }
    }

    fn accept(&mut self, at: i64, token: &str, job: &str) {
        let trace = self.trace(job);
        let first = trace.accepted_at.is_none();
        let contradiction = trace.belong(Some(token));
        let before = trace.accepted_at.unwrap_or(at);
        trace.accepted_at = Some(before.min(at));
        self.counts.accepted += u64::from(first);
        self.contradict(job, contradiction);
        self.one_job(token, job);
    }

    fn refused(&mut self, call: u64) {
        self.counts.refused += 1;
        if let Some(Call {
            op: Op::Submit(terms),
            ..
        }) = self.calls.remove(&call)
            && let Some(submitted) = self.submitted.get_mut(terms.token.as_str())
        {
            submitted.possible = submitted.possible.saturating_sub(1);
        }
    }

    fn show(&mut self, view: &View, asked: Moment, came: Moment) {
        self.counts.views += 1;
        let contradiction = self.trace(&view.job).show(view, asked, came);
        self.contradict(&view.job, contradiction);
        if let Some(token) = &view.token {
            self.one_job(token, &view.job);
        }
    }

    /// Remembers the job of a token; another one is a violation.
    fn one_job(&mut self, token: &str, job: &str) {
        match self.job_of.get(token) {
            None => {
                self.job_of.insert(token.into(), job.into());
            }
            Some(known) if **known != *job => {
                let words = format!("is the second job of {token}, after {known}");
                self.violate(Rule::OneJob, job, &words);
            }
            Some(_) => {}
        }
    }

    fn contradict(&mut self, job: &str, contradiction: Option<Contradiction>) {
        match contradiction {
            None => {}
            Some(Contradiction::Outcome(words)) => self.violate(Rule::OneOutcome, job, &words),
            Some(Contradiction::Revision(words)) => self.violate(Rule::StepBack, job, &words),
            Some(Contradiction::Token(words)) => self.violate(Rule::OneJob, job, &words),
        }
    }

    fn violate(&mut self, rule: Rule, job: &str, words: &str) {
        // A job that breaks a rule at every look says so once.
        let said = self
            .found
            .iter()
            .any(|known| known.rule == rule && known.job == job);
        if !said && self.found.len() < KEPT {
            self.found.push(Violation {
                rule,
                job: job.to_owned(),
                what: words.to_owned(),
            });
        }
    }

    fn trace(&mut self, job: &str) -> &mut Trace {
        self.jobs.entry(job.into()).or_default()
    }

    fn moment(&mut self, at: i64, node: String) -> Moment {
        let known = self.nodes.iter().position(|known| *known == node);
        let node = known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        Moment { at, node }
    }
}

const fn phase_index(phase: Phase) -> usize {
    match phase {
        Phase::Planned => 0,
        Phase::Fired => 1,
        Phase::Healed => 2,
    }
}

/// The bit of a node; none from the 65th on, which is then never counted as asked.
pub(crate) fn bit(node: usize) -> u64 {
    u32::try_from(node)
        .ok()
        .and_then(|node| 1_u64.checked_shl(node))
        .unwrap_or_default()
}
