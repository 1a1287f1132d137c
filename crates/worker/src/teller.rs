//! The events of one attempt on their way into the worker's next report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerkwork_core::live::{MAX_CHUNK, MAX_MESSAGE};
use clerkwork_core::{Chunk, Clock, Level, LogLine, Progress, UnixMs};
use clerkwork_wire::v1::{EventKind, WorkerEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::progress::TellError;

/// Progress is told at most this often.
pub(crate) const PACE: Duration = Duration::from_millis(250);
/// How much waits for the next report at most.
const MAX_WAITING: usize = 1024 * 1024;
/// How far beyond its range a fraction may be that was computed.
const ROUNDING: f64 = 1e-6;
/// What an event takes in a report beside its data, roughly.
const FRAME: usize = 160;

/// What waits for the next report, of all attempts of a worker.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Rung when something waits.
    pub(crate) bell: Bell,
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<WorkerEvent>,
    bytes: usize,
}

/// Wakes whoever writes reports.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    level: Mutex<Ring>,
    rung: Notify,
}

/// How soon a report is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ring {
    /// With the next heartbeat.
    #[default]
    Idle,
    /// As soon as the pace allows.
    Soon,
    /// At once.
    Now,
    /// At once, however soon after the last: the next question waits for the answer to this one, so
    /// they cannot come in a flood.
    AtOnce,
}

/// Tells what one attempt has to tell.
#[derive(Debug)]
pub(crate) struct Teller {
    correlation: Arc<str>,
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// The number of the last event.
    seq: u64,
    /// The number before the first one.
    before: u64,
    /// The index of the next chunk.
    chunk: u64,
    /// The newest progress, where it is too early to tell it.
    newest: Option<Progress>,
    /// When progress was last told.
    last: Option<Instant>,
    /// It was warned that a fraction is from 0 to 1.
    warned: bool,
}

impl Bell {
    /// Asks for a report.
    pub(crate) fn ring(&self, how: Ring) {
        let mut level = lock(&self.level);
        if *level < how {
            *level = how;
            drop(level);
            self.rung.notify_one();
        }
    }

    /// How soon a report is wanted.
    pub(crate) fn level(&self) -> Ring {
        *lock(&self.level)
    }

    /// The report is being written.
    pub(crate) fn silence(&self) {
        *lock(&self.level) = Ring::Idle;
    }

    /// Waits until somebody asks for a report sooner than before.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

impl Outbox {
    /// Takes all that waits.
    pub(crate) fn take(&self) -> Vec<WorkerEvent> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        self.room.notify_waiters();
        waiting.events
    }

    /// Adds an event; `false` if there is no room.
    fn put(&self, event: WorkerEvent, how: Ring) -> bool {
        let bytes = event.data.get().len() + FRAME;
        {
            let mut waiting = lock(&self.waiting);
            if waiting.bytes + bytes > MAX_WAITING {
                return false;
            }
            waiting.bytes += bytes;
            waiting.events.push(event);
        }
        self.bell.ring(how);
        true
    }

    /// Waits until an event of this many bytes fits.
    async fn room_for(&self, bytes: usize) {
        loop {
            let freed = self.room.notified();
            if lock(&self.waiting).bytes + bytes + FRAME <= MAX_WAITING {
                return;
            }
            freed.await;
        }
    }
}

impl Teller {
    /// Whoever had a `redelivered` attempt before may have told of it, and a number counts once. So a
    /// run of it begins above all numbers of earlier ones: with the time.
    pub(crate) fn new(
        correlation: Arc<str>,
        outbox: Arc<Outbox>,
        clock: Arc<dyn Clock>,
        redelivered: bool,
    ) -> Self {
        let now = u64::try_from(clock.now().0).unwrap_or_default();
        let before = if redelivered { now } else { 0 };
        Self {
            correlation,
            outbox,
            clock,
            told: Mutex::new(Told {
                seq: before,
                before,
                ..Told::default()
            }),
        }
    }

    /// The correlation id of the attempt.
    pub(crate) fn correlation(&self) -> Arc<str> {
        Arc::clone(&self.correlation)
    }

    /// The time, as the worker's clock has it.
    pub(crate) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Tells progress, or keeps it until it is time. What names no fraction is ignored.
    pub(crate) fn progress(&self, fraction: Option<f64>, message: Option<&str>) {
        let fraction = fraction.filter(|fraction| fraction.is_finite());
        if let Some(given) = fraction.filter(|fraction| !is_fraction(*fraction)) {
            return self.warn_of_fraction(given);
        }
        let progress = Progress {
            fraction: fraction.map(|fraction| fraction.clamp(0.0, 1.0)),
            message: message.map(|text| cut(text, MAX_MESSAGE).to_owned()),
            at: self.clock.now(),
        };
        let mut told = lock(&self.told);
        told.newest = Some(progress);
        self.tell_newest(&mut told, Instant::now());
    }

    /// Warns once per attempt.
    fn warn_of_fraction(&self, given: f64) {
        if !std::mem::replace(&mut lock(&self.told).warned, true) {
            tracing::warn!(
                given,
                "progress that is no fraction is ignored: a fraction is a number from 0 to 1, 0.25 for a quarter"
            );
        }
    }

    /// Tells a line of the log.
    pub(crate) fn log(&self, level: Level, message: &str) {
        let line = LogLine {
            level,
            message: cut(message, MAX_MESSAGE).to_owned(),
            at: self.clock.now(),
        };
        let mut told = lock(&self.told);
        self.tell(&mut told, EventKind::Log, &line, Ring::Soon);
    }

    /// Tells a part of the output.
    pub(crate) async fn chunk(&self, data: Box<RawValue>) -> Result<(), TellError> {
        let length = data.get().len();
        if length > MAX_CHUNK {
            return Err(TellError::TooLarge(length));
        }
        self.outbox.room_for(length).await;
        let mut told = lock(&self.told);
        let part = Chunk {
            index: told.chunk,
            data,
        };
        told.chunk += 1;
        self.tell(&mut told, EventKind::Chunk, &part, Ring::Now);
        Ok(())
    }

    /// Tells the newest progress if it is time.
    pub(crate) fn tell_due(&self, now: Instant) {
        self.tell_newest(&mut lock(&self.told), now);
    }

    /// Tells the newest progress whatever the time, because the attempt is over; the number of its
    /// last event, if it told any.
    pub(crate) fn tell_last(&self) -> Option<u64> {
        let mut told = lock(&self.told);
        told.last = None;
        self.tell_newest(&mut told, Instant::now());
        Some(told.seq).filter(|seq| *seq > told.before)
    }

    fn tell_newest(&self, told: &mut Told, now: Instant) {
        let early = told
            .last
            .is_some_and(|last| now.duration_since(last) < PACE);
        if early {
            return;
        }
        if let Some(progress) = told.newest.take() {
            told.last = Some(now);
            self.tell(told, EventKind::Progress, &progress, Ring::Soon);
        }
    }

    /// Numbers an event and puts it into the outbox. Without room it is left out, and its number
    /// shows the gap.
    fn tell(&self, told: &mut Told, event: EventKind, data: &impl Serialize, how: Ring) {
        let Ok(data) = serde_json::value::to_raw_value(data) else {
            return;
        };
        told.seq += 1;
        let correlation = self.correlation.as_ref().to_owned();
        self.outbox.put(
            WorkerEvent {
                correlation,
                seq: told.seq,
                event,
                data,
            },
            how,
        );
    }
}

/// Whether this is a fraction; what sums and divisions make of 1 is one too.
fn is_fraction(number: f64) -> bool {
    (-ROUNDING..=1.0 + ROUNDING).contains(&number)
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use clerkwork_core::SystemClock;

    use super::*;

    fn teller(outbox: &Arc<Outbox>, redelivered: bool) -> Teller {
        let clock = Arc::new(SystemClock::new());
        Teller::new("c".into(), Arc::clone(outbox), clock, redelivered)
    }

    #[test]
    fn progress_that_is_no_fraction_is_ignored() {
        let outbox = Arc::new(Outbox::default());
        let told = teller(&outbox, false);
        told.progress(Some(7.0), Some("far"));
        told.progress(Some(-1.0), None);
        assert_eq!(told.tell_last(), None);
        told.progress(Some(1.000_000_000_2), Some("done"));
        told.tell_last();
        let events = outbox.take();
        assert_eq!(events.len(), 1);
        assert!(events[0].data.get().contains(r#""fraction":1.0"#));
    }

    #[test]
    fn a_run_of_a_redelivered_attempt_numbers_above_those_before_it() {
        let outbox = Arc::new(Outbox::default());
        let first = teller(&outbox, false);
        assert_eq!(first.tell_last(), None);
        first.log(Level::Info, "x");
        assert_eq!(first.tell_last(), Some(1));
        let again = teller(&outbox, true);
        assert_eq!(again.tell_last(), None, "it has told nothing itself");
        again.log(Level::Info, "x");
        again.log(Level::Info, "y");
        let last = again.tell_last().unwrap();
        let seqs: Vec<u64> = outbox.take().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [1, last - 1, last]);
        // Above what any run tells, and safe where numbers are floating point.
        assert!((1_700_000_000_000..1 << 53).contains(&last), "{last}");
    }
}
