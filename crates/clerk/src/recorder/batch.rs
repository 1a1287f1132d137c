//! One batch of events: loaded, folded through `transition`, and stored by compare-and-set.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clerkwork_core::{
    Change, ClerkId, Event, Job, JobId, Moment, Outcome, State, UnixMs, public, transition,
};
use clerkwork_faults::{Defect, has};
use clerkwork_store::{Applied, Error, Recorder, apply_each};
use rand::RngExt as _;

use super::Settled;
use super::answers::unstorable;
use super::handle::Followed;

/// An event of a batch.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: JobId,
    pub(super) event: Event,
    /// The clerk that dispatched the attempt, where a reply told.
    pub(super) dispatched_by: Option<ClerkId>,
}

/// The answers to a batch.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// The consequence of each item, in order; `None` of those that are to be recorded again.
    pub(super) followed: Vec<Option<Followed>>,
    /// The changes that were committed.
    pub(super) settled: Vec<Settled>,
    /// The error for which some are to be recorded again. The recorder is over.
    pub(super) failure: Option<Error>,
}

/// The time and the lease by which events are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) now: UnixMs,
    pub(super) lease: Duration,
}

impl Rules {
    /// With a random number from 0 to 1 for the wait before a retry.
    pub(super) fn moment(self, chance: f64) -> Moment {
        Moment {
            now: self.now,
            lease: self.lease,
            chance,
        }
    }
}

/// The number of times that a batch is decided because rows changed under it. Each time somebody else moved
/// forward, so this is plenty.
const TRIES: usize = 20;

/// Folds the items of each job through `transition`, in order, and stores what follows. Where the store refuses what
/// follows for a job, its replies count as a failure in plain words; where it refuses that too, the job is left as it is.
pub(super) async fn record(recorder: &mut dyn Recorder, items: &[Item], rules: Rules) -> Recorded {
    let mut recorded = Recorded::default();
    let nothing = Followed {
        changed: false,
        job: None,
    };
    recorded.followed.resize(items.len(), Some(nothing));
    let mut left: HashMap<JobId, Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        left.entry(item.id).or_default().push(at);
    }
    let done = record_all(recorder, items, &mut left, rules, &mut recorded).await;
    if let Err(error) = done {
        for at in left.into_values().flatten() {
            recorded.followed[at] = None;
        }
        recorded.failure = Some(error);
    }
    recorded
}

/// Records the items that are left, by their jobs; those that are left after an error are to be recorded again.
async fn record_all(
    recorder: &mut dyn Recorder,
    items: &[Item],
    left: &mut HashMap<JobId, Vec<usize>>,
    rules: Rules,
    recorded: &mut Recorded,
) -> Result<(), Error> {
    let mut refused: HashSet<JobId> = HashSet::new();
    for _ in 0..TRIES {
        if left.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<JobId> = left.keys().copied().collect();
        ids.sort_unstable();
        let jobs = recorder.load(&ids).await?;
        let folds: Vec<Fold> = jobs
            .into_iter()
            .map(|job| {
                let places = left.get(&job.id).map(Vec::as_slice).unwrap_or_default();
                let is_refused = refused.contains(&job.id);
                let events = places.iter().map(|at| (*at, &items[*at].event));
                let events = events.filter_map(|(at, event)| match is_refused {
                    false => Some((at, event.clone())),
                    true => Some((at, without_data(event)?)),
                });
                Fold::of(job, events, rules)
            })
            .collect();
        let changes: Vec<Change> = folds
            .iter()
            .filter_map(|fold| fold.change.clone())
            .collect();
        let mut applied = apply_each(recorder, &changes).await?.into_iter();
        // Ids that were not loaded are unknown: nothing follows for them.
        let mut by_job = std::mem::take(left);
        let mut is_broken_off = false;
        for fold in folds {
            let applied = fold.change.as_ref().and_then(|_| applied.next());
            match applied {
                None | Some(Applied::Stored) => {
                    fold.keep(items, recorded);
                    continue;
                }
                Some(Applied::Refused) if !refused.insert(fold.job.id) => {
                    tracing::error!(job = %fold.job.id, "the store refuses every end of a job; leaving it as it is");
                    continue;
                }
                Some(Applied::Unanswered) => is_broken_off = true,
                Some(Applied::Refused | Applied::Outdated) => {}
            }
            if let Some(places) = by_job.remove(&fold.job.id) {
                left.insert(fold.job.id, places);
            }
        }
        if is_broken_off {
            return Err(Error::Unavailable("it failed during a batch".to_owned()));
        }
    }
    Err(Error::Unavailable(
        "rows kept changing while they were recorded".to_owned(),
    ))
}

/// The outcome of the events of one job.
struct Fold {
    job: Job,
    change: Option<Change>,
    /// Which items changed the job.
    changed: Vec<(usize, bool)>,
    output: Option<bytes::Bytes>,
    /// The time at which the dispatch was made that was started or answered.
    came_through: Option<UnixMs>,
}

impl Fold {
    fn of(job: Job, events: impl Iterator<Item = (usize, Event)>, rules: Rules) -> Self {
        let mut fold = Self {
            job,
            change: None,
            changed: Vec::new(),
            output: None,
            came_through: None,
        };
        for (at, event) in events {
            let moment = rules.moment(clerkwork_core::chance().random::<f64>());
            let event = match event {
                Event::Undelivered { attempt } if has(Defect::ReturnRaisesMargin) => {
                    Event::Doubted { attempt }
                }
                event => event,
            };
            if has(Defect::LastWins) && fold.job.is_done() {
                fold.job.standing.state = State::Dispatched;
            }
            let dispatch = fold
                .job
                .standing
                .dispatch
                .filter(|_| comes_through(&event, &fold.job));
            let change = transition(&fold.job, event, &moment);
            fold.changed.push((at, change.is_some()));
            if change.is_some() {
                fold.came_through = dispatch.map(|dispatch| dispatch.at()).or(fold.came_through);
            }
            if let Some(change) = change {
                fold.take(change);
            }
        }
        fold
    }

    /// The job as it is after the change, and the change since it was loaded.
    fn take(&mut self, change: Change) {
        change.apply_to(&mut self.job);
        if let Some(Outcome::Succeeded { media_type, output }) = &change.outcome {
            self.output = public::is_json(media_type).then(|| output.clone());
        }
        match &mut self.change {
            None => self.change = Some(change),
            Some(whole) => {
                whole.standing = change.standing;
                whole.outcome = change.outcome.or(whole.outcome.take());
                whole.ended = change.ended.or(whole.ended.take());
                whole.stop = change.stop.or(whole.stop);
            }
        }
    }

    fn keep(self, items: &[Item], recorded: &mut Recorded) {
        let mut dispatched_by = None;
        for (at, changed) in self.changed {
            recorded.followed[at] = Some(Followed {
                changed,
                job: Some(self.job.clone()),
            });
            dispatched_by = dispatched_by.or(items[at].dispatched_by);
        }
        if let Some(change) = self.change {
            recorded.settled.push(Settled {
                job: self.job,
                output: self.output,
                dispatched_by,
                came_through: self.came_through,
                stop: change.stop,
            });
        }
    }
}

/// The event with nothing in it that a worker wrote; `None` of one that is nothing without that.
fn without_data(event: &Event) -> Option<Event> {
    match event {
        Event::Replied { attempt, .. } => Some(Event::Replied {
            attempt: *attempt,
            reply: unstorable(*attempt),
            worker: None,
            started_at: None,
        }),
        Event::CancelAsked => Some(Event::CancelAsked),
        _ => None,
    }
}

/// Tells whether this shows that the current dispatch of the job came to a worker.
fn comes_through(event: &Event, job: &Job) -> bool {
    match event {
        Event::Started { attempt, .. }
        | Event::Held { attempt, .. }
        | Event::Replied { attempt, .. } => *attempt == job.standing.attempt,
        _ => false,
    }
}
