//! One batch of events: loaded, folded through `transition`, and stored by compare-and-set.

use std::collections::HashMap;
use std::time::Duration;

use clerkwork_core::{
    Change, ClerkId, Event, Job, JobId, Moment, Outcome, State, UnixMs, public, transition,
};
use clerkwork_faults::{Defect, has};
use clerkwork_store::{Error, Recorder};
use rand::RngExt as _;

use super::Settled;
use super::handle::Followed;

/// An event of a batch.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: JobId,
    pub(super) event: Event,
    /// The clerk that dispatched the attempt, where a reply told.
    pub(super) dispatched_by: Option<ClerkId>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// What followed from each item, in order.
    pub(super) followed: Vec<Followed>,
    /// The changes that were committed.
    pub(super) settled: Vec<Settled>,
}

/// What events are judged by.
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

/// How often a batch is decided anew because rows changed under it. Each time somebody else moved
/// forward, so this is plenty.
const TRIES: usize = 20;

/// Folds the items of each job through `transition`, in order, and stores what follows.
pub(super) async fn record(
    recorder: &mut dyn Recorder,
    items: &[Item],
    rules: Rules,
) -> Result<Recorded, Error> {
    let mut recorded = Recorded::default();
    recorded.followed.resize_with(items.len(), || Followed {
        changed: false,
        job: None,
    });
    let mut by_job: HashMap<JobId, Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        by_job.entry(item.id).or_default().push(at);
    }
    for _ in 0..TRIES {
        if by_job.is_empty() {
            return Ok(recorded);
        }
        let mut ids: Vec<JobId> = by_job.keys().copied().collect();
        ids.sort_unstable();
        let jobs = recorder.load(&ids).await?;
        let folds: Vec<Fold> = jobs
            .into_iter()
            .map(|job| {
                let places = by_job.get(&job.id).map(Vec::as_slice).unwrap_or_default();
                Fold::of(job, items, places, rules)
            })
            .collect();
        // Ids that were not loaded are unknown: nothing follows for them.
        let mut again = HashMap::new();
        let changes: Vec<Change> = folds
            .iter()
            .filter_map(|fold| fold.change.clone())
            .collect();
        let mut stored = recorder.apply(&changes).await?.into_iter();
        for fold in folds {
            if fold.change.is_some() && stored.next() != Some(true) {
                if let Some(places) = by_job.remove(&fold.job.id) {
                    again.insert(fold.job.id, places);
                }
                continue;
            }
            fold.keep(items, &mut recorded);
        }
        by_job = again;
    }
    Err(Error::Unavailable(
        "rows kept changing while they were recorded".to_owned(),
    ))
}

/// What the events of one job come to.
struct Fold {
    job: Job,
    change: Option<Change>,
    /// Which items changed the job.
    changed: Vec<(usize, bool)>,
    output: Option<bytes::Bytes>,
    /// When the dispatch was made that was started or answered.
    came_through: Option<UnixMs>,
}

impl Fold {
    fn of(job: Job, items: &[Item], places: &[usize], rules: Rules) -> Self {
        let mut fold = Self {
            job,
            change: None,
            changed: Vec::new(),
            output: None,
            came_through: None,
        };
        for at in places {
            let moment = rules.moment(clerkwork_core::chance().random::<f64>());
            if has(Defect::LastWins) && fold.job.is_done() {
                fold.job.standing.state = State::Dispatched;
            }
            let event = &items[*at].event;
            let dispatch = fold
                .job
                .standing
                .dispatch
                .filter(|_| comes_through(event, &fold.job));
            let change = transition(&fold.job, event.clone(), &moment);
            fold.changed.push((*at, change.is_some()));
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
            recorded.followed[at] = Followed {
                changed,
                job: Some(self.job.clone()),
            };
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

/// Whether this shows that the current dispatch of the job came to a worker.
fn comes_through(event: &Event, job: &Job) -> bool {
    match event {
        Event::Started { attempt, .. }
        | Event::Held { attempt, .. }
        | Event::Replied { attempt, .. } => *attempt == job.standing.attempt,
        _ => false,
    }
}
