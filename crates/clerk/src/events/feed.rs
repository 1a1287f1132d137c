//! The live events of one job: the last of them, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use clerkwork_core::{JobId, Progress};
use clerkwork_wire::v1::{EventKind, NoticeEvent, Told};
use serde_json::value::RawValue;

/// The most events of a job.
const EVENTS: usize = 1024;
/// The most bytes of a job's events.
const BYTES: usize = 1024 * 1024;
/// What an event takes beside its data, roughly.
const FRAME: usize = 256;

/// Something that an attempt told, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct LiveEvent {
    /// Which job.
    pub(crate) job: JobId,
    /// The attempt that told it.
    pub(crate) attempt: u32,
    /// Counts the attempt's events from 1.
    pub(crate) seq: u64,
    /// What kind.
    pub(crate) kind: EventKind,
    /// What it says.
    pub(crate) data: Arc<RawValue>,
    /// What it says, where that is progress.
    pub(crate) progress: Option<Progress>,
}

/// Where an attempt's event stands among those of its job.
type Place = (u32, u64);

/// What comes after a place.
#[derive(Debug)]
pub(crate) enum Next {
    /// The event that follows.
    Event(Arc<LiveEvent>),
    /// Events up to this number are not here; `gone`: and will not come any more.
    Hole { to: u64, gone: bool },
    /// Nothing yet; the attempt told this many in all, where that is known.
    Nothing { told: Option<u64> },
}

/// The last live events of one job.
#[derive(Debug, Default)]
pub(super) struct Feed {
    events: BTreeMap<Place, Arc<LiveEvent>>,
    /// The bytes that they take.
    pub(super) bytes: usize,
    /// The last event that was pushed out.
    out: Place,
    newest: Option<(Place, Progress)>,
    /// What the last attempt that was answered told in all.
    pub(super) told: Option<Told>,
    /// When somebody last told something, as the hub counts.
    pub(super) touched: u64,
}

impl LiveEvent {
    fn place(&self) -> Place {
        (self.attempt, self.seq)
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
    pub(super) fn put(&mut self, event: &Arc<LiveEvent>) -> bool {
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
        self.events.insert(place, event.clone());
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some((place, oldest)) = self.events.pop_first() else {
                break;
            };
            self.bytes -= oldest.size();
            self.out = place;
        }
        true
    }

    /// What comes after `seq` of `attempt`.
    pub(super) fn next(&self, attempt: u32, seq: u64) -> Next {
        let after = (attempt, seq.saturating_add(1))..=(attempt, u64::MAX);
        let Some((place, event)) = self.events.range(after).next().filter(|_| seq < u64::MAX)
        else {
            let told = self.told.filter(|told| told.attempt == attempt);
            return Next::Nothing {
                told: told.map(|told| told.seq),
            };
        };
        if place.1 == seq + 1 {
            return Next::Event(event.clone());
        }
        let to = place.1 - 1;
        Next::Hole {
            to,
            gone: self.out >= (attempt, to),
        }
    }

    /// The last attempt that told anything.
    pub(super) fn attempt(&self) -> Option<u32> {
        let last = self.events.last_key_value();
        last.map(|((attempt, _), _)| *attempt)
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
            Next::Hole { .. } | Next::Nothing { .. } => None,
        }
    }

    #[test]
    fn events_come_in_order_and_once_however_they_arrived() {
        let mut feed = Feed::default();
        let kept: Vec<bool> = [3, 1, 3, 2, 1]
            .into_iter()
            .map(|seq| feed.put(&event(1, seq, 1)))
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
        feed.put(&event(1, 4, 1));
        let next = feed.next(1, 0);
        assert!(matches!(next, Next::Hole { to: 3, gone: false }));
        for seq in 5..=1030 {
            feed.put(&event(1, seq, 1));
        }
        let next = feed.next(1, 0);
        assert!(matches!(next, Next::Hole { to: 6, gone: true }));
        assert!(!feed.put(&event(1, 2, 1)));
    }

    #[test]
    fn a_job_keeps_the_last_mebibyte() {
        let mut feed = Feed::default();
        for seq in 1..=40 {
            feed.put(&event(1, seq, 64 * 1024));
        }
        assert!(feed.bytes <= BYTES);
        assert!(feed.events.len() > 10);
        assert_eq!(seq_after(&feed, 1, 39), Some(40));
    }

    #[test]
    fn attempts_are_told_apart() {
        let mut feed = Feed::default();
        feed.put(&event(2, 1, 1));
        feed.put(&event(1, 7, 1));
        assert_eq!(seq_after(&feed, 1, 6), Some(7));
        assert_eq!(seq_after(&feed, 1, 7), None);
        assert_eq!(seq_after(&feed, 2, 0), Some(1));
        assert_eq!(feed.attempt(), Some(2));
        assert!(matches!(feed.next(2, u64::MAX), Next::Nothing { .. }));
    }
}
