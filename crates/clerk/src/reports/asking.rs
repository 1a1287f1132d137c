//! Answers workers that ask before they start what may have been started before.
//!
//! What a question comes to is decided by `transition` and committed before the answer is sent, so any
//! clerk gives the same answer again. What this clerk adds is what it has heard of the worker that had
//! the job last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use clerkwork_core::{Before, Clock as _, Correlation, Event, Job, JobId, State, UnixMs, Verdict};
use clerkwork_store::WorkerRow;
use clerkwork_wire::v1::{self, Granted, Report, WorkerInfo};
use tokio::time::Instant;

use super::{MOST_BEAT, Recorded, ReportsTask, Stage};
use crate::cancels::To;
use crate::counters::Counters;
use crate::error::Refusal;

/// The most questions of one report that are looked at.
const QUESTIONS: usize = 256;
/// A report may have been on its way for this long: what it lists then may be gone, and what was
/// started since is not listed yet.
const STALE: Duration = Duration::from_secs(1);

/// One question.
#[derive(Debug)]
struct Question {
    worker: Arc<str>,
    control: String,
    word: String,
    said: Correlation,
    /// When this clerk first heard it.
    since: Instant,
    before: Before,
}

/// What is known of the worker that had a job last.
#[derive(Debug)]
struct Owner<'a> {
    id: &'a Arc<str>,
    row: Option<&'a WorkerRow>,
    heard: Option<&'a Recorded>,
}

impl ReportsTask {
    /// Answers what can be answered now; what cannot is asked again.
    pub(super) async fn answer(&self, reports: &[Report], workers: &mut HashMap<String, Recorded>) {
        let questions = self.questions(reports, workers);
        if questions.is_empty() {
            return;
        }
        let mut answers = BTreeMap::new();
        let answered = async {
            let open = self.put(questions, &mut answers).await?;
            let informed = self.inform(open, workers).await?;
            self.put(informed, &mut answers).await?;
            Ok::<_, Refusal>(())
        };
        if let Err(refusal) = answered.await {
            tracing::debug!(%refusal, "questions could not be answered; they will be asked again");
        }
        for (control, answer) in answers {
            self.control.send(To::One(control), answer);
        }
    }

    /// The questions of these reports, each once.
    fn questions(
        &self,
        reports: &[Report],
        workers: &mut HashMap<String, Recorded>,
    ) -> Vec<Question> {
        let mut questions: Vec<Question> = Vec::new();
        for report in reports {
            if !self.is_control_queue(&report.worker.control) {
                continue;
            }
            let Some(recorded) = workers.get_mut(&report.worker.id) else {
                continue;
            };
            recorded.asks.retain(|word, _| report.asking.contains(word));
            for word in report.asking.iter().take(QUESTIONS) {
                let Some(said) = self.seal.open(word) else {
                    Counters::count(&self.counters.forged);
                    continue;
                };
                let since = *recorded
                    .asks
                    .entry(word.clone())
                    .or_insert_with(Instant::now);
                // Nobody runs two deliveries of a job; the other one is asked about again.
                let again = |known: &Question| {
                    known.said.job == said.job && *known.worker == *report.worker.id
                };
                if !questions.iter().any(again) {
                    questions.push(Question {
                        worker: report.worker.id.as_str().into(),
                        control: report.worker.control.clone(),
                        word: word.clone(),
                        said,
                        since,
                        before: self.runs_beside(report, word, said),
                    });
                }
            }
        }
        questions.retain_mut(|question| elsewhere(question, workers));
        questions
    }

    /// Whether the asker says itself that it runs the job, by another delivery.
    fn runs_beside(&self, report: &Report, word: &str, said: Correlation) -> Before {
        let same_job = |hand: &&v1::InHand| {
            hand.correlation != word
                && hand.started_at.is_some()
                && (self.seal.open(&hand.correlation)).is_some_and(|other| other.job == said.job)
        };
        match report.in_hand.iter().find(same_job) {
            Some(_) => Before::Lives(report.worker.id.as_str().into()),
            None => Before::Unknown,
        }
    }

    /// Records the questions, notes the answers, and returns those that wait, with their jobs.
    async fn put(
        &self,
        questions: Vec<Question>,
        answers: &mut BTreeMap<String, v1::Control>,
    ) -> Result<Vec<(Question, Job)>, Refusal> {
        let events = questions.iter().map(|question| {
            let event = Event::Asked {
                attempt: question.said.attempt,
                worker: question.worker.clone(),
                before: question.before.clone(),
            };
            (question.said.job, event)
        });
        let followed = self.recorder.events(events.collect()).await?;
        let mut open = Vec::new();
        for (question, followed) in questions.into_iter().zip(followed) {
            let attempt = question.said.attempt;
            let verdict = followed.job.as_ref().map_or(Verdict::Refused, |job| {
                Verdict::of(job, attempt, &question.worker, &question.before)
            });
            let message = format!("{}:{attempt}", question.said.job);
            match (verdict, followed.job) {
                (Verdict::Granted, Some(job)) => {
                    let granted = self.granted(message, &question, &job);
                    let answer = answers.entry(question.control).or_default();
                    answer.granted.push(granted);
                }
                (Verdict::Wait, Some(job)) => open.push((question, job)),
                (Verdict::Refused, _) | (_, None) => {
                    let answer = answers.entry(question.control).or_default();
                    answer.refused.push(message);
                }
            }
        }
        Ok(open)
    }

    /// Under the word that was asked with, unless the start has a number of its own.
    fn granted(&self, message: String, question: &Question, job: &Job) -> Granted {
        let (said, attempt) = (question.said, job.standing.attempt);
        if said.attempt == attempt {
            return Granted {
                message,
                correlation: question.word.clone(),
                attempt: None,
            };
        }
        let dispatch = job.standing.dispatch;
        let correlation = Correlation {
            job: job.id,
            attempt,
            rev: job.standing.rev,
            clerk: dispatch.map_or(said.clerk, |dispatch| dispatch.clerk),
        };
        Granted {
            message,
            correlation: self.seal.seal(&correlation),
            attempt: Some(attempt),
        }
    }

    /// Those of which enough is known by now of the job's last worker.
    async fn inform(
        &self,
        open: Vec<(Question, Job)>,
        workers: &HashMap<String, Recorded>,
    ) -> Result<Vec<Question>, Refusal> {
        let mut ids: Vec<String> = open
            .iter()
            .filter_map(|(_, job)| job.standing.worker.as_deref().map(str::to_owned))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.workers(Some(&ids), UnixMs(0)).await?;
        let rows: HashMap<&str, &WorkerRow> =
            rows.iter().map(|row| (row.id.as_str(), row)).collect();
        // What killed its worker may kill the next one: with it nothing else shall be on record there.
        let mut alone = HashSet::new();
        let mut informed = Vec::new();
        for (mut question, job) in open {
            let Some(id) = &job.standing.worker else {
                continue;
            };
            let owner = Owner {
                id,
                row: rows.get(&**id).copied(),
                heard: workers.get(&**id),
            };
            question.before = self.before(&owner, &job, question.since);
            let decided = match question.before {
                Before::Unknown => false,
                Before::Silent(_) => alone.insert(question.worker.clone()),
                Before::Without(_) | Before::Lives(_) => true,
            };
            if decided {
                informed.push(question);
            }
        }
        Ok(informed)
    }

    /// What the last worker's reports, here and by its row, say of the job.
    fn before(&self, owner: &Owner<'_>, job: &Job, since: Instant) -> Before {
        let now = self.clock.now();
        let asked_at = now.before(since.elapsed());
        let told = owner.told(job, now);
        // A start that was granted a moment ago is not listed yet.
        let listed_from = match (job.standing.state, job.standing.started_at) {
            (State::Running, Some(start)) => asked_at.max(start.after(STALE)),
            _ => asked_at,
        };
        for (at, lists) in told {
            if lists && at >= asked_at.after(STALE) {
                return Before::Lives(owner.id.clone());
            }
            if !lists && at >= listed_from {
                return Before::Without(owner.id.clone());
            }
        }
        let about = owner.about();
        let listed = told.iter().any(|(_, lists)| *lists);
        if about.draining && !listed {
            return Before::Without(owner.id.clone());
        }
        let beat = Duration::from_millis(about.every_ms.min(MOST_BEAT));
        // Rows are as old as this though their workers report.
        let silence = beat.max(self.config.lease / 6) * 2;
        let last = told.iter().map(|(at, _)| *at).max();
        let silent = last.is_none_or(|last| now.since(last) >= silence);
        if silent && self.health.hears_for(silence) {
            // Its last report may already have been without the job.
            let started_at = job.standing.started_at.unwrap_or(now);
            return match last {
                Some(last) if !listed && last >= started_at.after(STALE) => {
                    Before::Without(owner.id.clone())
                }
                _ => Before::Silent(owner.id.clone()),
            };
        }
        Before::Unknown
    }
}

impl Owner<'_> {
    /// When it was heard, here and by anybody, and whether it listed the job then.
    fn told(&self, job: &Job, now: UnixMs) -> [(UnixMs, bool); 2] {
        let never = (UnixMs(0), false);
        let here = self.heard.map_or(never, |heard| {
            (
                now.before(heard.heard_at.elapsed()),
                heard.lists(job.id, job.standing.attempt),
            )
        });
        let row = self.row.map_or(never, |row| {
            (
                row.seen_at,
                row.in_hand.iter().any(|(listed, _)| *listed == job.id),
            )
        });
        [here, row]
    }

    fn about(&self) -> WorkerInfo {
        let row = self
            .row
            .and_then(|row| serde_json::from_str(&row.about).ok());
        row.unwrap_or_default()
    }
}

impl Recorded {
    /// Whether its last report listed the job, as this attempt or an earlier one.
    fn lists(&self, job: JobId, attempt: u32) -> bool {
        (1..=attempt).any(|attempt| self.listed.contains(&(job, attempt)))
    }
}

/// Whether an earlier attempt of the job is known to run on a worker that lives; then the job is left
/// to it. `false`: that is too fresh to be sure of, so the question waits.
fn elsewhere(question: &mut Question, workers: &HashMap<String, Recorded>) -> bool {
    if question.before != Before::Unknown {
        return true;
    }
    let started = |recorded: &Recorded| {
        (1..question.said.attempt).any(|attempt| {
            let stage = recorded.stages.get(&(question.said.job, attempt));
            stage.is_some_and(|stage| *stage >= Stage::Started)
        })
    };
    let lives = |recorded: &Recorded| recorded.heard_at.elapsed() < recorded.every * 2;
    let other = workers
        .iter()
        .find(|(id, recorded)| **id != *question.worker && lives(recorded) && started(recorded));
    let Some((id, recorded)) = other else {
        return true;
    };
    question.before = Before::Lives(id.as_str().into());
    recorded.heard_at >= question.since + STALE
}
