//! What is kept of one job and of one submission.

use crate::event::{How, Status, Submission, View};

/// When something was seen and at which node, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: i64,
    pub(crate) node: usize,
}

/// A submission, or several with the same idempotency key.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) terms: Submission,
    /// When the first of its calls began.
    pub(crate) invoked_at: i64,
    /// How many of its calls were not refused.
    pub(crate) possible: u32,
}

/// One run of a job. Its start and its end may be told in any order.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) nonce: Box<str>,
    pub(crate) started_at: Option<i64>,
    pub(crate) how: Option<How>,
}

/// What a job ended as.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) nonce: Option<Box<str>>,
    pub(crate) error: Option<Box<str>>,
    pub(crate) finished_at: Option<i64>,
}

impl Outcome {
    fn of(view: &View) -> Self {
        Self {
            status: view.status,
            nonce: view.nonce.as_deref().map(Into::into),
            error: view.error.as_deref().map(Into::into),
            finished_at: view.finished_at,
        }
    }

    /// Takes what the other one shows and this one does not; whether they agree in what both show.
    fn agrees(&mut self, other: Self) -> bool {
        fn same<T: PartialEq>(mine: &mut Option<T>, other: Option<T>) -> bool {
            if mine.is_none() {
                *mine = other;
                return true;
            }
            other.is_none() || *mine == other
        }
        let nonce = same(&mut self.nonce, other.nonce);
        let error = same(&mut self.error, other.error);
        let finished = same(&mut self.finished_at, other.finished_at);
        self.status == other.status && nonce && error && finished
    }
}

/// All that is kept of a job.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) token: Option<Box<str>>,
    /// When the first answer that accepted it came.
    pub(crate) accepted_at: Option<i64>,
    /// The first answer that showed it.
    pub(crate) found: Option<Moment>,
    /// The last question that was answered with "there is none", by when it was asked.
    pub(crate) missing: Option<Moment>,
    /// The first answer that showed its end.
    pub(crate) ended: Option<Moment>,
    /// The last question whose answer showed it unfinished, by when it was asked.
    pub(crate) open: Option<Moment>,
    /// When it was first shown as cancelled.
    pub(crate) cancelled_at: Option<i64>,
    pub(crate) outcome: Option<Outcome>,
    /// When its last attempt was due, as far as that was shown.
    pub(crate) due_at: Option<i64>,
    /// Where it was shown as ended when everything was over: a bit for each node.
    pub(crate) read_at_the_end: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) delivered: bool,
    /// The highest revision, and when the first answer with it came.
    newest: Option<(u64, Moment)>,
}

/// How a view contradicts what was seen before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// It shows another outcome.
    Outcome(String),
    /// It shows an older revision than an answer that came before the question.
    Revision(String),
    /// It is of another submission.
    Token(String),
}

impl Trace {
    /// Takes in what an answer showed that was asked for at `asked` and came at `came`.
    pub(crate) fn show(
        &mut self,
        view: &View,
        asked: Moment,
        came: Moment,
    ) -> Option<Contradiction> {
        if self.found.is_none_or(|found| came.at < found.at) {
            self.found = Some(came);
        }
        self.due_at = self.due_at.max(view.due_at);
        let older = self.revision(view, asked, came);
        let stranger = self.belong(view.token.as_deref());
        if !view.status.is_final() {
            if self.open.is_none_or(|open| asked.at > open.at) {
                self.open = Some(asked);
            }
            return stranger.or(older);
        }
        if self.ended.is_none_or(|ended| came.at < ended.at) {
            self.ended = Some(came);
        }
        if view.status == Status::Cancelled {
            let before = self.cancelled_at.unwrap_or(came.at);
            self.cancelled_at = Some(before.min(came.at));
        }
        self.end(view).or(stranger).or(older)
    }

    fn end(&mut self, view: &View) -> Option<Contradiction> {
        let shown = Outcome::of(view);
        let Some(known) = &mut self.outcome else {
            self.outcome = Some(shown);
            return None;
        };
        let before = known.clone();
        (!known.agrees(shown))
            .then(|| Contradiction::Outcome(format!("was shown as {before:?}, then as {view:?}")))
    }

    fn revision(&mut self, view: &View, asked: Moment, came: Moment) -> Option<Contradiction> {
        let rev = view.rev?;
        match self.newest {
            Some((newest, since)) if rev < newest && asked.at > since.at => {
                let words = format!(
                    "revision {newest} was shown at {}, revision {rev} to a question asked at {}",
                    since.at, asked.at
                );
                Some(Contradiction::Revision(words))
            }
            Some((newest, _)) if rev <= newest => None,
            _ => {
                self.newest = Some((rev, came));
                None
            }
        }
    }

    /// Takes in of which submission it is.
    pub(crate) fn belong(&mut self, token: Option<&str>) -> Option<Contradiction> {
        let token = token?;
        match &self.token {
            Some(known) if **known == *token => None,
            Some(known) => Some(Contradiction::Token(format!(
                "is shown as {known}'s and as {token}'s"
            ))),
            None => {
                self.token = Some(token.into());
                None
            }
        }
    }

    /// The run of that nonce.
    pub(crate) fn run(&mut self, nonce: &str) -> &mut Run {
        let known = self.runs.iter().position(|run| *run.nonce == *nonce);
        let at = known.unwrap_or_else(|| {
            self.runs.push(Run {
                nonce: nonce.into(),
                started_at: None,
                how: None,
            });
            self.runs.len() - 1
        });
        &mut self.runs[at]
    }

    pub(crate) fn is_known(&self) -> bool {
        self.accepted_at.is_some() || self.found.is_some()
    }

    /// How many runs there were beyond the one that a job needs and those that failed.
    pub(crate) fn duplicates(&self) -> u64 {
        let needed = self
            .runs
            .iter()
            .filter(|run| run.how == Some(How::Failed))
            .count()
            + 1;
        u64::try_from(self.runs.len().saturating_sub(needed)).unwrap_or(u64::MAX)
    }
}
