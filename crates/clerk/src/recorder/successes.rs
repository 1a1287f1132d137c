//! Successes, which are most of all replies: stored without reading their jobs first, and told from
//! what this clerk knows of the job where the record agrees.

use std::collections::BTreeMap;
use std::sync::Arc;

use clerkwork_core::{Job, JobId, Status, event, public, transition};
use clerkwork_faults::{Defect, Point, has, reach};
use clerkwork_store::{Error, Recorded, Recorder, Succeeded, Success, succeed_each};

use super::answers::{replied, stopped, unstorable};
use super::batch::Rules;
use super::replies::Work;
use super::task::RecorderTask;
use super::{Answered, Settled};
use crate::counters::Counters;

impl RecorderTask {
    /// Records successes and tells them.
    ///
    /// # Errors
    /// The store failed; those that are left are not on record as far as we know.
    pub(super) async fn succeed(
        &self,
        recorder: &mut dyn Recorder,
        work: &mut Work,
        rules: Rules,
    ) -> Result<(), Error> {
        let rows: Vec<Success> = work.successes.iter().filter_map(success).collect();
        if has(Defect::NoticeBeforeCommit) {
            self.settle(self.foreseen(&work.successes, rules));
        }
        let kept = succeed_each(recorder, &rows, rules.now).await?;
        reach(Point::RecordAfterCommit);
        let known = self.outstanding.take(rows.iter().map(|row| row.job));
        let (mut settled, mut unread) = (Vec::with_capacity(rows.len()), Vec::new());
        let answers = std::mem::take(&mut work.successes).into_iter();
        for ((mut answer, kept), known) in answers.zip(kept).zip(known) {
            match kept {
                Succeeded::Unanswered => work.successes.push(answer),
                Succeeded::Recorded(recorded) => {
                    match known.and_then(|job| after(job, &answer, &recorded, rules)) {
                        Some(job) => settled.push(succeeded(&answer, job)),
                        None => unread.push((answer, recorded)),
                    }
                }
                Succeeded::Late if has(Defect::LastWins) => work.others.push(answer),
                Succeeded::Late => {
                    Counters::count(&self.counters.late);
                    work.stopped.push(attempt_of(&answer));
                }
                Succeeded::Missing => work.aside.extend(self.aside(&answer)),
                Succeeded::Unfit => {
                    Counters::count(&self.counters.unfit);
                    answer.reply = unstorable(answer.correlation.attempt);
                    work.others.push(answer);
                }
            }
        }
        work.stopped.extend(stopped(&settled));
        self.settle(settled);
        self.settle_read(recorder, work, unread).await;
        match work.successes.is_empty() {
            true => Ok(()),
            false => Err(Error::Unavailable("it failed during a batch".to_owned())),
        }
    }

    /// Tells successes whose jobs this clerk does not know as the record has them.
    async fn settle_read(
        &self,
        recorder: &mut dyn Recorder,
        work: &mut Work,
        unread: Vec<(Answered, Recorded)>,
    ) {
        if unread.is_empty() {
            return;
        }
        match read(recorder, &unread).await {
            Ok(read) => {
                work.stopped.extend(stopped(&read));
                self.settle(read);
            }
            Err(error) => {
                tracing::warn!(%error, "jobs that succeeded could not be read");
                work.stopped
                    .extend(unread.iter().map(|(answer, _)| attempt_of(answer)));
                self.settle_unread(&unread);
            }
        }
    }

    /// The ends to which successes will have come once they are committed; only a defect tells them before.
    fn foreseen(&self, successes: &[Answered], rules: Rules) -> Vec<Settled> {
        let known = successes.iter().map(|answer| answer.correlation.job);
        let foreseen = successes.iter().zip(self.outstanding.take(known));
        let foreseen = foreseen.filter_map(|(answer, known)| {
            let known = known?;
            let recorded = Recorded {
                queue: known.queue.clone(),
                rev: known.standing.rev + 1,
            };
            let job = after(known, answer, &recorded, rules)?;
            Some(succeeded(answer, job))
        });
        foreseen.collect()
    }

    /// Gives credit for successes whose jobs could not be read, and lets who waits for them read.
    fn settle_unread(&self, unread: &[(Answered, Recorded)]) {
        for (_, recorded) in unread {
            self.window.replied(&recorded.queue);
        }
        let told = unread
            .iter()
            .map(|(answer, recorded)| (answer.correlation.job, recorded.rev))
            .collect();
        self.settler.unread(told, Status::Succeeded);
    }
}

/// The attempt that was answered. Whatever became of its job, nobody needs to be told to stop it.
fn attempt_of(answer: &Answered) -> (JobId, u32) {
    (answer.correlation.job, answer.correlation.attempt)
}

fn success(answer: &Answered) -> Option<Success> {
    let event::Reply::Succeeded { media_type, output } = &answer.reply else {
        return None;
    };
    Some(Success {
        job: answer.correlation.job,
        attempt: answer.correlation.attempt,
        media_type: media_type.clone(),
        output: output.clone(),
        worker: answer.worker.clone(),
        started_at: answer.started_at,
    })
}

/// The job after a success that is on record, if the record had it as we know it until then.
fn after(known: Arc<Job>, answer: &Answered, recorded: &Recorded, rules: Rules) -> Option<Job> {
    if known.standing.rev + 1 != recorded.rev {
        return None;
    }
    let mut job = Arc::unwrap_or_clone(known);
    let change = transition(
        &job,
        replied(answer, answer.reply.clone()),
        &rules.moment(0.0),
    )?;
    change.apply_to(&mut job);
    Some(job)
}

/// The jobs of successes that are on record.
async fn read(
    recorder: &mut dyn Recorder,
    unread: &[(Answered, Recorded)],
) -> Result<Vec<Settled>, Error> {
    let by_job: BTreeMap<JobId, &Answered> = unread
        .iter()
        .map(|(answer, _)| (answer.correlation.job, answer))
        .collect();
    let ids: Vec<JobId> = by_job.keys().copied().collect();
    let jobs = recorder.load(&ids).await?;
    Ok(jobs
        .into_iter()
        .filter_map(|job| Some(succeeded(by_job.get(&job.id)?, job)))
        .collect())
}

fn succeeded(answer: &Answered, job: Job) -> Settled {
    let output = match &answer.reply {
        event::Reply::Succeeded { media_type, output } if public::is_json(media_type) => {
            Some(output.clone())
        }
        _ => None,
    };
    // A success of an earlier attempt says nothing of the current one.
    let current = answer.correlation.attempt == job.standing.attempt;
    let dispatch = job.standing.dispatch.filter(|_| current);
    Settled {
        came_through: dispatch.map(|dispatch| dispatch.at()),
        job,
        output,
        dispatched_by: Some(answer.correlation.clerk),
        stop: None,
    }
}
