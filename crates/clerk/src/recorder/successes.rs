//! Successes, which are most of all replies: stored without reading their jobs first, and told from
//! what this clerk knows of the job where the record agrees.

use std::sync::Arc;

use clerkwork_broker::Message;
use clerkwork_core::{Failure, Job, JobId, Moment, Status, event, public, transition};
use clerkwork_store::{Error, Recorded, Recorder, Succeeded, Success};

use super::answers::{item, replied, stopped, unfit};
use super::batch::{Item, Rules};
use super::task::RecorderTask;
use super::{Answered, Settled};
use crate::counters::Counters;

/// What is left to do once successes are recorded and told.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Replies for the operator.
    pub(super) aside: Vec<Message>,
    /// Failures that successes became because they cannot be kept.
    pub(super) items: Vec<Item>,
    /// The attempts that were told to stop and have answered now.
    pub(super) stopped: Vec<(JobId, u32)>,
}

impl RecorderTask {
    /// Records successes and tells them.
    pub(super) async fn succeed(
        &self,
        recorder: &mut dyn Recorder,
        answers: &[&Answered],
        rules: Rules,
    ) -> Result<Rest, Error> {
        let rows: Vec<Success> = answers
            .iter()
            .filter_map(|answer| success(answer))
            .collect();
        let kept = recorder.succeed(&rows, rules.now).await?;
        let known = self.outstanding.take(rows.iter().map(|row| row.job));
        let (mut settled, mut unread) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut rest = Rest::default();
        for ((answer, kept), known) in answers.iter().zip(kept).zip(known) {
            match kept {
                Succeeded::Recorded(recorded) => {
                    match known.and_then(|job| after(job, answer, &recorded, rules)) {
                        Some(job) => settled.push(succeeded(answer, job)),
                        None => unread.push((*answer, recorded)),
                    }
                }
                Succeeded::Late => Counters::count(&self.counters.late),
                Succeeded::Missing => rest.aside.extend(self.aside(answer)),
                Succeeded::Unfit => {
                    Counters::count(&self.counters.unfit);
                    let detail = "the store cannot keep it".to_owned();
                    let attempt = answer.correlation.attempt;
                    let failed = unfit(Failure::INVALID_OUTPUT, detail, attempt);
                    rest.items.push(item(answer, failed));
                }
            }
        }
        // What is on record is told even where the others cannot be read now.
        let read = read(recorder, &unread).await;
        match &read {
            Ok(read) => settled.extend_from_slice(read),
            Err(_) => self.settle_unread(&unread),
        }
        rest.stopped = stopped(&settled);
        self.settle(settled);
        read.map(|_| rest)
    }

    /// Gives credit for successes whose jobs could not be read, and lets who waits for them read.
    fn settle_unread(&self, unread: &[(&Answered, Recorded)]) {
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
    let moment = Moment {
        now: rules.now,
        lease: rules.lease,
        chance: 0.0,
    };
    let change = transition(&job, replied(answer, answer.reply.clone()), &moment)?;
    change.apply_to(&mut job);
    Some(job)
}

/// The jobs of successes that are on record.
async fn read(
    recorder: &mut dyn Recorder,
    unread: &[(&Answered, Recorded)],
) -> Result<Vec<Settled>, Error> {
    if unread.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<JobId> = unread
        .iter()
        .map(|(answer, _)| answer.correlation.job)
        .collect();
    ids.sort_unstable();
    let mut settled = Vec::with_capacity(ids.len());
    for job in recorder.load(&ids).await? {
        let answer = unread
            .iter()
            .find(|(answer, _)| answer.correlation.job == job.id);
        settled.extend(answer.map(|(answer, _)| succeeded(answer, job)));
    }
    Ok(settled)
}

fn succeeded(answer: &Answered, job: Job) -> Settled {
    let output = match &answer.reply {
        event::Reply::Succeeded { media_type, output } if media_type == public::JSON => {
            Some(output.clone())
        }
        _ => None,
    };
    Settled {
        job,
        output,
        dispatched_by: Some(answer.correlation.clerk),
        stop: None,
    }
}
