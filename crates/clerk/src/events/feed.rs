//! The live events of one job: the last of them, in order.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use clerkwork_core::{JobId, Progress};
use clerkwork_wire::v1::{EventKind, NoticeEvent, Told};
use serde_json::value::RawValue;
use tokio::time::Instant;

/// The most events of a job.
const EVENTS: usize = 1024;
/// The most bytes of a job's events.
const BYTES: usize = 1024 * 1024;
/// What an event takes beside its data, roughly.
const FRAME: usize = 256;
/// What a job takes beside its events, roughly.
const JOB: usize = 512;

/// Something that an attempt told, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct LiveEvent {
    /// Which job.
    pub(crate) job: JobId,
    /// The attempt that told it.
    pub(crate) attempt: u32,
    /// Counts the attempt's events from 1.
    pub(crate) seq: u64,
    /// What kind; `Other` where it did not fit: nobody is shown such an event.
    pub(crate) kind: EventKind,
    /// What it says, in one line.
    pub(crate) data: Arc<RawValue>,
    /// What it says, where that is progress.
    pub(crate) progress: Option<Progress>,
}

/// What an event says, as bytes that all who follow share.
struct Said(Arc<RawValue>);

impl AsRef<[u8]> for Said {
    fn as_ref(&self) -> &[u8] {
        self.0.get().as_bytes()
    }
}

/// Where an attempt's event stands among those of its job.
type Place = (u32, u64);

/// What comes after a place.
#[derive(Debug)]
pub(crate) enum Next {
    /// The event that follows.
    Event(Arc<LiveEvent>),
    /// Events up to this number are not for anybody's eyes.
    Unfit { to: u64 },
    /// Events up to this number are not here. `since`: one after them has been known so long; `None`:
    /// they will not come any more.
    Hole { to: u64, since: Option<Instant> },
    /// Nothing yet; the attempt told this many in all, where that is known.
    Nothing { told: Option<u64> },
}

/// An event that is here.
#[derive(Debug)]
struct Kept {
    event: Arc<LiveEvent>,
    /// Since when this one, or one after it, is known.
    since: Instant,
}

/// The last live events of one job.
#[derive(Debug, Default)]
pub(super) struct Feed {
    events: BTreeMap<Place, Kept>,
    /// The bytes that they take.
    pub(super) bytes: usize,
    /// The last event that was pushed out.
    out: Place,
    newest: Option<(Place, Progress)>,
    /// What the last attempt that was answered told in all.
    pub(super) told: Option<Told>,
    /// When somebody last told something, as the hub counts, and as clocks do.
    pub(super) touched: u64,
    pub(super) touched_at: Option<Instant>,
}

impl LiveEvent {
    fn place(&self) -> Place {
        (self.attempt, self.seq)
    }

    /// Whether it only keeps its number.
    pub(crate) fn is_unfit(&self) -> bool {
        self.kind == EventKind::Other
    }

    /// What it says, as it is told; not copied.
    pub(crate) fn line(&self) -> Bytes {
        Bytes::from_owner(Said(Arc::clone(&self.data)))
    }

    /// What it takes here and in a notice, roughly.
    pub(crate) fn size(&self) -> usize {
        self.data.get().len() + FRAME
    }

    /// The event as other clerks are told.
    pub(crate) fn notice(&self) -> NoticeEvent {
        NoticeEvent {
            job: self.job,
            attempt: self.attempt,
            seq: self.seq,
            event: self.kind,
            data: (*self.data).to_owned(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            EventKind::Progress => "progress",
            EventKind::Log => "log",
            EventKind::Chunk => "chunk",
            EventKind::Other => "other",
        }
    }
}

impl Feed {
    /// Adds an event; `false` where it is known, or too old to be kept.
    pub(super) fn put(&mut self, event: &Arc<LiveEvent>, now: Instant) -> bool {
        let place = event.place();
        if place <= self.out || self.events.contains_key(&place) {
            return false;
        }
        if let Some(progress) = &event.progress
            && self.newest.as_ref().is_none_or(|(known, _)| *known < place)
        {
            self.newest = Some((place, progress.clone()));
        }
        self.bytes += event.size();
        let later = self.range(place).next();
        let since = later.map_or(now, |(_, later)| later.since);
        let event = event.clone();
        self.events.insert(place, Kept { event, since });
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some((place, oldest)) = self.events.pop_first() else {
                break;
            };
            self.bytes -= oldest.event.size();
            self.out = place;
        }
        true
    }

    /// Pushes all events out; how far the job has come stays known.
    pub(super) fn empty(&mut self) {
        if let Some((place, _)) = self.events.pop_last() {
            self.out = place;
        }
        self.events = BTreeMap::new();
        self.bytes = 0;
    }

    /// The bytes that it takes beside its events.
    pub(super) fn rest(&self) -> usize {
        let newest = self.newest.as_ref();
        let message = newest.and_then(|(_, progress)| progress.message.as_ref());
        message.map_or(0, String::len) + JOB
    }

    /// What comes after `seq` of `attempt`.
    pub(super) fn next(&self, attempt: u32, seq: u64) -> Next {
        let Some((place, kept)) = self.range((attempt, seq)).next() else {
            if self.out > (attempt, seq) && self.out.0 == attempt {
                let (to, since) = (self.out.1, None);
                return Next::Hole { to, since };
            }
            let told = self.told.filter(|told| told.attempt == attempt);
            return Next::Nothing {
                told: told.map(|told| told.seq),
            };
        };
        if place.1 == seq + 1 && kept.event.is_unfit() {
            return Next::Unfit {
                to: self.unfit_to(attempt, place.1),
            };
        }
        if place.1 == seq + 1 {
            return Next::Event(kept.event.clone());
        }
        let to = place.1 - 1;
        let gone = self.out >= (attempt, to);
        Next::Hole {
            to,
            since: (!gone).then_some(kept.since),
        }
    }

    /// The bytes of what comes after `seq` of `attempt`.
    pub(super) fn bytes_after(&self, attempt: u32, seq: u64) -> usize {
        let after = self.range((attempt, seq));
        after.map(|(_, kept)| kept.event.size()).sum()
    }

    /// The last of those in a row that do not fit, of which `seq` is one.
    fn unfit_to(&self, attempt: u32, mut seq: u64) -> u64 {
        for ((_, next), kept) in self.range((attempt, seq)) {
            if *next != seq + 1 || !kept.event.is_unfit() {
                break;
            }
            seq = *next;
        }
        seq
    }

    /// The number of the last event of this attempt that anybody knows of.
    pub(super) fn last(&self, attempt: u32) -> u64 {
        let here = self.range((attempt, 0)).next_back();
        let here = here.map_or(0, |((_, seq), _)| *seq);
        let out = if self.out.0 == attempt { self.out.1 } else { 0 };
        let told = self.told.filter(|told| told.attempt == attempt);
        here.max(out).max(told.map_or(0, |told| told.seq))
    }

    /// The events of an attempt after this one.
    fn range(&self, (attempt, seq): Place) -> Range<'_, Place, Kept> {
        let after = (
            Bound::Excluded((attempt, seq)),
            Bound::Included((attempt, u64::MAX)),
        );
        self.events.range(after)
    }

    /// The last attempt that told anything.
    pub(super) fn attempt(&self) -> Option<u32> {
        let last = self.events.last_key_value();
        let last = last.map_or(self.out, |(place, _)| *place);
        Some(last.0).filter(|attempt| *attempt > 0)
    }

    /// How far an attempt has come.
    pub(super) fn progress(&self, attempt: u32) -> Option<&Progress> {
        let newest = self.newest.as_ref();
        newest
            .filter(|((of, _), _)| *of == attempt)
            .map(|(_, progress)| progress)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clerkwork_core::UnixMs;

    use super::*;

    fn event(attempt: u32, seq: u64, bytes: usize) -> Arc<LiveEvent> {
        let data = format!("\"{}\"", "x".repeat(bytes));
        Arc::new(LiveEvent {
            job: JobId::at(UnixMs(1)),
            attempt,
            seq,
            kind: EventKind::Chunk,
            data: Arc::from(RawValue::from_string(data).unwrap()),
            progress: None,
        })
    }

    fn seq_after(feed: &Feed, attempt: u32, seq: u64) -> Option<u64> {
        match feed.next(attempt, seq) {
            Next::Event(event) => Some(event.seq),
            Next::Unfit { .. } | Next::Hole { .. } | Next::Nothing { .. } => None,
        }
    }

    #[test]
    fn events_come_in_order_and_once_however_they_arrived() {
        let mut feed = Feed::default();
        let kept: Vec<bool> = [3, 1, 3, 2, 1]
            .into_iter()
            .map(|seq| feed.put(&event(1, seq, 1), Instant::now()))
            .collect();
        assert_eq!(kept, [true, true, false, true, false]);
        assert_eq!(seq_after(&feed, 1, 0), Some(1));
        assert_eq!(seq_after(&feed, 1, 1), Some(2));
        assert_eq!(seq_after(&feed, 1, 2), Some(3));
        assert!(matches!(feed.next(1, 3), Next::Nothing { told: None }));
    }

    #[test]
    fn a_hole_may_still_be_filled_unless_its_events_were_pushed_out() {
        let mut feed = Feed::default();
        feed.put(&event(1, 4, 1), Instant::now());
        let next = feed.next(1, 0);
        assert!(matches!(
            next,
            Next::Hole {
                to: 3,
                since: Some(_)
            }
        ));
        for seq in 5..=1030 {
            feed.put(&event(1, seq, 1), Instant::now());
        }
        let next = feed.next(1, 0);
        assert!(matches!(next, Next::Hole { to: 6, since: None }));
        assert!(!feed.put(&event(1, 2, 1), Instant::now()));
    }

    #[test]
    fn events_that_do_not_fit_are_passed_over_and_leave_no_hole() {
        let mut feed = Feed::default();
        for seq in [1, 2, 4] {
            let mut unfit = LiveEvent::clone(&event(1, seq, 1));
            unfit.kind = EventKind::Other;
            feed.put(&Arc::new(unfit), Instant::now());
        }
        feed.put(&event(1, 5, 1), Instant::now());
        assert!(matches!(feed.next(1, 0), Next::Unfit { to: 2 }));
        assert!(matches!(feed.next(1, 2), Next::Hole { to: 3, .. }));
        assert!(matches!(feed.next(1, 3), Next::Unfit { to: 4 }));
        assert_eq!(seq_after(&feed, 1, 4), Some(5));
    }

    #[test]
    fn a_job_keeps_the_last_mebibyte() {
        let mut feed = Feed::default();
        for seq in 1..=40 {
            feed.put(&event(1, seq, 64 * 1024), Instant::now());
        }
        assert!(feed.bytes <= BYTES);
        assert!(feed.events.len() > 10);
        assert_eq!(seq_after(&feed, 1, 39), Some(40));
    }

    #[test]
    fn attempts_are_told_apart() {
        let mut feed = Feed::default();
        feed.put(&event(2, 1, 1), Instant::now());
        feed.put(&event(1, 7, 1), Instant::now());
        assert_eq!(seq_after(&feed, 1, 6), Some(7));
        assert_eq!(seq_after(&feed, 1, 7), None);
        assert_eq!(seq_after(&feed, 2, 0), Some(1));
        assert_eq!(feed.attempt(), Some(2));
        assert!(matches!(feed.next(2, u64::MAX), Next::Nothing { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hole_is_as_old_as_the_first_event_after_it_that_was_known() {
        let mut feed = Feed::default();
        let began = Instant::now();
        for seq in [9, 7, 5, 3] {
            feed.put(&event(1, seq, 1), Instant::now());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        for (seq, hole) in [(0, 2), (3, 4), (5, 6), (7, 8)] {
            let next = feed.next(1, seq);
            let Next::Hole { to, since } = next else {
                panic!("{next:?}")
            };
            assert_eq!((to, since), (hole, Some(began)));
        }
        assert_eq!((feed.last(1), feed.last(2)), (9, 0));
    }
}
