//! The live events of all jobs, within one bound.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::{JobId, Progress};
use clerkwork_wire::v1::Told;
use tokio::time::Instant;

use super::feed::Feed;
use super::{LiveEvent, Next, Position};

/// The most bytes of all events; then those of the job that was silent longest go.
const BYTES: usize = 64 * 1024 * 1024;
/// The most bytes that jobs take beside their events; then the job that was silent longest goes.
const REST: usize = 32 * 1024 * 1024;
/// How long the events of a job are kept after its end: whoever follows has read them by then, and
/// whoever lost its connection is back.
const AFTER_END: Duration = Duration::from_secs(60);
/// How long a job is known that tells nothing, and whose end was not seen or came before.
const SILENT: Duration = Duration::from_secs(24 * 60 * 60);
/// The most jobs whose end is remembered.
const ENDS: usize = 100_000;

/// The live events that this clerk has of all jobs; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many jobs there are, so that who asks of one in vain need not lock.
    jobs: AtomicUsize,
    feeds: Mutex<Feeds>,
}

#[derive(Debug, Default)]
struct Feeds {
    by_job: HashMap<JobId, Feed>,
    /// The jobs by when they last told something.
    order: BTreeMap<u64, JobId>,
    /// Those of them that have events.
    laden: BTreeMap<u64, JobId>,
    ended: VecDeque<(Instant, JobId)>,
    /// What all events take.
    bytes: usize,
    /// What jobs take beside them.
    rest: usize,
    /// Counts what is told.
    clock: u64,
}

/// What became of events that were put into the hub.
#[derive(Debug, Default)]
pub(crate) struct Put {
    /// Those that were new.
    pub(crate) fresh: Vec<Arc<LiveEvent>>,
    /// The jobs of which an attempt told something for the first time.
    pub(crate) begun: Vec<JobId>,
}

impl Hub {
    /// Keeps these events; says what was new.
    pub(crate) fn put(&self, events: Vec<LiveEvent>) -> Put {
        let mut put = Put::default();
        let now = Instant::now();
        let mut feeds = self.feeds();
        for event in events {
            let event = Arc::new(event);
            let (is_fresh, begins) = feeds.change(event.job, |feed| {
                let begins = feed.attempt().is_none_or(|attempt| attempt < event.attempt);
                (feed.put(&event, now), begins)
            });
            if !is_fresh {
                continue;
            }
            if begins {
                put.begun.push(event.job);
            }
            put.fresh.push(event);
        }
        self.tidy(&mut feeds);
        put
    }

    /// Notes how many events the attempt of an answer told before, so that watchers see them first.
    pub(crate) fn told(&self, job: JobId, told: Told) {
        let mut feeds = self.feeds();
        feeds.change(job, |feed| {
            if feed.told.is_none_or(|known| known.attempt <= told.attempt) {
                feed.told = Some(told);
            }
        });
        self.tidy(&mut feeds);
    }

    /// What the job's last answered attempt told in all, where it told anything.
    pub(crate) fn what_was_told(&self, job: JobId) -> Option<Told> {
        self.look(job, |feed| feed.told)
    }

    /// Lets go of the events of these jobs after a while: they are done.
    pub(crate) fn ended(&self, jobs: impl IntoIterator<Item = JobId>) {
        if self.is_empty() {
            return;
        }
        let mut feeds = self.feeds();
        let now = Instant::now();
        for job in jobs {
            if feeds.by_job.contains_key(&job) && feeds.ended.len() < ENDS {
                feeds.ended.push_back((now, job));
            }
        }
    }

    /// Lets go of what ended a while ago.
    pub(crate) fn forget_ended(&self) {
        if self.is_empty() {
            return;
        }
        let mut feeds = self.feeds();
        while let Some((at, job)) = feeds.ended.front().copied()
            && at.elapsed() >= AFTER_END
        {
            feeds.ended.pop_front();
            match feeds.by_job.get(&job).and_then(|feed| feed.touched_at) {
                // It was told of since, so it is kept as if it ended then.
                Some(touched) if touched.elapsed() < AFTER_END => {
                    feeds.ended.push_back((Instant::now(), job));
                }
                _ => feeds.forget(job),
            }
        }
        while let Some(job) = feeds.oldest_silent_for(SILENT) {
            feeds.forget(job);
        }
        self.tidy(&mut feeds);
    }

    /// What comes after event `seq` of this attempt.
    pub(crate) fn next(&self, job: JobId, attempt: u32, seq: u64) -> Next {
        self.look(job, |feed| Some(feed.next(attempt, seq)))
            .unwrap_or(Next::Nothing { told: None })
    }

    /// The bytes that wait for who has come to this position.
    pub(crate) fn waiting(&self, job: JobId, at: Position) -> usize {
        self.look(job, |feed| Some(feed.bytes_after(at.attempt, at.seq)))
            .unwrap_or_default()
    }

    /// The number of the attempt's last event that is known of.
    pub(crate) fn last(&self, job: JobId, attempt: u32) -> u64 {
        self.look(job, |feed| Some(feed.last(attempt)))
            .unwrap_or_default()
    }

    /// How far an attempt has come, where it told.
    pub(crate) fn progress(&self, job: JobId, attempt: u32) -> Option<Progress> {
        self.look(job, |feed| feed.progress(attempt).cloned())
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.jobs.load(Ordering::Relaxed) == 0
    }

    fn look<T>(&self, job: JobId, see: impl FnOnce(&Feed) -> Option<T>) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        self.feeds().by_job.get(&job).and_then(see)
    }

    /// Keeps the whole within its bound.
    fn tidy(&self, feeds: &mut Feeds) {
        while feeds.bytes > BYTES
            && let Some((_, job)) = feeds.laden.pop_first()
        {
            feeds.empty(job);
        }
        while feeds.rest > REST
            && let Some((_, job)) = feeds.order.pop_first()
        {
            feeds.forget(job);
        }
        self.0.jobs.store(feeds.by_job.len(), Ordering::Relaxed);
    }

    /// What the lock guards is whole at every point, so a panic of another holder does not matter.
    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feeds {
    /// Changes a job's events, which are there from now on.
    fn change<T>(&mut self, job: JobId, change: impl FnOnce(&mut Feed) -> T) -> T {
        let rest = &mut self.rest;
        let feed = self.by_job.entry(job).or_insert_with(|| {
            let feed = Feed::default();
            *rest += feed.rest();
            feed
        });
        let before = (feed.bytes, feed.rest());
        let changed = change(feed);
        self.bytes = self.bytes + feed.bytes - before.0;
        self.rest = self.rest + feed.rest() - before.1;
        self.clock += 1;
        self.order.remove(&feed.touched);
        self.laden.remove(&feed.touched);
        feed.touched = self.clock;
        feed.touched_at = Some(Instant::now());
        self.order.insert(self.clock, job);
        if feed.bytes > 0 {
            self.laden.insert(self.clock, job);
        }
        changed
    }

    /// Lets go of a job's events, but not of how far it has come.
    fn empty(&mut self, job: JobId) {
        if let Some(feed) = self.by_job.get_mut(&job) {
            self.bytes -= feed.bytes;
            feed.empty();
        }
    }

    fn forget(&mut self, job: JobId) {
        if let Some(feed) = self.by_job.remove(&job) {
            self.bytes -= feed.bytes;
            self.rest -= feed.rest();
            self.order.remove(&feed.touched);
            self.laden.remove(&feed.touched);
        }
    }

    /// The job that was silent longest, if it was so for this long.
    fn oldest_silent_for(&self, long: Duration) -> Option<JobId> {
        let (_, job) = self.order.first_key_value()?;
        let touched = self.by_job.get(job)?.touched_at?;
        (touched.elapsed() >= long).then_some(*job)
    }
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;
    use clerkwork_wire::v1::EventKind;
    use serde_json::value::RawValue;

    use super::*;

    fn event(job: JobId, attempt: u32, seq: u64, bytes: usize) -> LiveEvent {
        let data = format!("\"{}\"", "x".repeat(bytes));
        LiveEvent {
            job,
            attempt,
            seq,
            kind: EventKind::Chunk,
            data: Arc::from(RawValue::from_string(data).unwrap()),
            progress: None,
        }
    }

    fn has(hub: &Hub, job: JobId) -> bool {
        matches!(hub.next(job, 1, 0), Next::Event(_))
    }

    #[test]
    fn the_first_event_of_each_attempt_is_told_apart_and_doubles_are_dropped() {
        let hub = Hub::default();
        let job = JobId::at(UnixMs(1));
        let put = hub.put(vec![
            event(job, 1, 1, 1),
            event(job, 1, 2, 1),
            event(job, 1, 1, 1),
        ]);
        assert_eq!((put.fresh.len(), put.begun), (2, vec![job]));
        let put = hub.put(vec![event(job, 1, 3, 1), event(job, 2, 1, 1)]);
        assert_eq!((put.fresh.len(), put.begun), (2, vec![job]));
    }

    #[test]
    fn beyond_the_bound_the_job_that_was_silent_longest_goes_first() {
        let hub = Hub::default();
        let jobs: Vec<_> = (0..100).map(|ms| JobId::at(UnixMs(ms))).collect();
        for job in &jobs[..90] {
            for seq in 1..=16 {
                hub.put(vec![event(*job, 1, seq, 60 * 1024)]);
            }
        }
        assert!(hub.feeds().bytes <= BYTES);
        assert!(!has(&hub, jobs[0]));
        let next = hub.next(jobs[0], 1, 0);
        assert!(matches!(
            next,
            Next::Hole {
                to: 16,
                since: None
            }
        ));
        assert!(hub.put(vec![event(jobs[0], 1, 17, 1)]).begun.is_empty());
        assert!(has(&hub, jobs[89]));
        for job in &jobs {
            hub.feeds().forget(*job);
        }
        let feeds = hub.feeds();
        assert_eq!((feeds.bytes, feeds.rest), (0, 0));
        assert!(feeds.order.is_empty() && feeds.laden.is_empty());
    }

    #[test]
    fn how_far_a_job_has_come_outlives_its_events_but_not_every_other_job() {
        let hub = Hub::default();
        let quiet = JobId::at(UnixMs(1));
        let mut told = event(quiet, 1, 1, 1);
        told.progress = Some(Progress {
            fraction: Some(0.5),
            message: None,
            at: UnixMs(1),
        });
        hub.put(vec![told]);
        hub.told(quiet, Told { attempt: 1, seq: 9 });
        for seq in 1..=80 {
            let job = JobId::at(UnixMs(seq));
            let loud = (1..=16).map(|seq| event(job, 1, seq, 60 * 1024));
            hub.put(loud.collect());
        }
        assert!(!has(&hub, quiet));
        assert!(hub.progress(quiet, 1).is_some() && hub.what_was_told(quiet).is_some());
        for _ in 0..=REST / 512 {
            hub.told(JobId::at(UnixMs(2)), Told { attempt: 1, seq: 1 });
        }
        assert!(hub.feeds().rest <= REST);
        assert!(hub.progress(quiet, 1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_was_told_of_after_its_end_is_forgotten_too() {
        let hub = Hub::default();
        let job = JobId::at(UnixMs(1));
        hub.put(vec![event(job, 1, 1, 1)]);
        hub.ended([job]);
        tokio::time::advance(AFTER_END / 2).await;
        hub.put(vec![event(job, 1, 2, 1)]);
        tokio::time::advance(AFTER_END / 2).await;
        hub.forget_ended();
        assert!(has(&hub, job));
        tokio::time::advance(AFTER_END).await;
        hub.forget_ended();
        assert!(hub.is_empty());
        hub.put(vec![event(job, 1, 3, 1)]);
        tokio::time::advance(SILENT).await;
        hub.forget_ended();
        assert!(hub.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_a_job_that_ended_are_kept_for_a_while() {
        let hub = Hub::default();
        let job = JobId::at(UnixMs(1));
        hub.put(vec![event(job, 1, 1, 1)]);
        hub.ended([job]);
        tokio::time::advance(AFTER_END / 2).await;
        hub.forget_ended();
        assert!(has(&hub, job));
        tokio::time::advance(AFTER_END).await;
        hub.forget_ended();
        assert!(!has(&hub, job) && hub.is_empty());
    }

    #[test]
    fn what_an_earlier_attempt_told_in_all_does_not_replace_a_later_one() {
        let hub = Hub::default();
        let job = JobId::at(UnixMs(1));
        hub.told(job, Told { attempt: 2, seq: 5 });
        hub.told(job, Told { attempt: 1, seq: 9 });
        assert!(matches!(
            hub.next(job, 2, 0),
            Next::Nothing { told: Some(5) }
        ));
        assert!(matches!(hub.next(job, 1, 0), Next::Nothing { told: None }));
    }
}
