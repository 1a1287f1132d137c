//! What may have been started before, in one queue: asked about, and started only when granted.
//!
//! One question at a time, and one more for each granted job that has run to its end: at a start,
//! where what killed the last worker comes first, nothing is granted beside it. A grant is on record
//! as a start, and a start that this worker does not survive is counted as the job's failure: so
//! nothing is granted that would have to wait. What had a worker that was lost with it may have killed
//! it: until it has run, or has run for a while, nothing else is asked about, so that a job that kills
//! its workers does not take the same neighbours with it each time. A question that waits for its
//! answer, because the job's last worker may live, holds nothing up: after a while the next one is
//! asked beside it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::desk::Desk;
use super::hands::{Answered, Hand};
use crate::signal::Why;
use crate::teller::{Ring, Teller};

/// How long the next question waits for the answer to the last.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what may have killed its worker runs before anything else is asked about.
const PROBATION: Duration = Duration::from_secs(10);
/// The most questions that are asked at a time, however many granted jobs were survived.
const AT_ONCE: usize = 16;
/// The most questions that wait for their answers.
const MOST: usize = 64;

/// The deliveries of one queue that may have been started before.
#[derive(Debug)]
pub(super) struct Questions {
    /// Not asked about yet.
    waiting: VecDeque<Arc<Hand>>,
    asked: Vec<(Arc<Hand>, Instant)>,
    /// Granted; they wait for a slot, which was free when they were asked about.
    granted: VecDeque<(Arc<Hand>, Instant)>,
    /// What was granted and has not ended, and since when it is granted.
    runs: Vec<(Arc<Hand>, Instant)>,
    /// How many questions may be asked at a time.
    at_once: usize,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            asked: Vec::new(),
            granted: VecDeque::new(),
            runs: Vec::new(),
            at_once: 1,
        }
    }
}

impl Questions {
    pub(super) fn push(&mut self, hand: Arc<Hand>) {
        self.waiting.push_back(hand);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty() && self.granted.is_empty()
    }

    /// Takes answers to heart. What is returned is for its lane to answer for: it was told to stop
    /// while it waited, or was granted and found no slot.
    pub(super) fn settle(&mut self, desk: &Arc<Desk>) -> Vec<Arc<Hand>> {
        let mut ended = Vec::new();
        let running = self.runs.len();
        self.runs.retain(|(hand, _)| !hand.has_run());
        self.at_once = (self.at_once + running - self.runs.len()).min(AT_ONCE);
        if self.is_empty() {
            return ended;
        }
        let told = |hand: &Arc<Hand>| hand.signal.why().is_some();
        let now = Instant::now();
        if self.waiting.iter().any(told) {
            let (stopped, waiting): (VecDeque<_>, _) = self.waiting.drain(..).partition(told);
            self.waiting = waiting;
            ended.extend(stopped);
        }
        for (hand, since) in std::mem::take(&mut self.asked) {
            match hand.answered() {
                Some(Answered::Refused) => desk.hands.drop_refused(&hand),
                Some(Answered::Granted(_)) => {
                    let hand = renew(desk, hand);
                    if hand.is_suspect() {
                        self.at_once = 1;
                    }
                    self.runs.push((Arc::clone(&hand), now));
                    self.granted.push_back((hand, now));
                }
                None if told(&hand) => ended.push(hand),
                None => self.asked.push((hand, since)),
            }
        }
        if self.has_suspects() {
            for (hand, _) in self.asked.drain(..).rev() {
                hand.ask_later();
                self.waiting.push_front(hand);
            }
        }
        for (hand, since) in std::mem::take(&mut self.granted) {
            if now.duration_since(since) > PATIENCE {
                hand.signal.ask(Why::Draining);
            }
            if told(&hand) {
                ended.push(hand);
            } else {
                self.granted.push_back((hand, since));
            }
        }
        ended
    }

    /// Asks about the next ones, as far as they could be started now.
    pub(super) fn ask(&mut self, desk: &Desk, free: usize) {
        if self.waiting.is_empty() || self.has_suspects() {
            return;
        }
        let open = |(_, since): &&(_, Instant)| since.elapsed() < PATIENCE;
        let mut open = self.asked.iter().filter(open).count();
        let most = self.at_once.min(free.saturating_sub(self.granted.len()));
        while open < most && self.asked.len() < MOST {
            let may_be_asked = |hand: &Arc<Hand>| !desk.hands.has_untold_twin(hand);
            let next = self.waiting.iter().position(may_be_asked);
            let Some(hand) = next.and_then(|next| self.waiting.remove(next)) else {
                return;
            };
            hand.ask();
            self.asked.push((hand, Instant::now()));
            desk.outbox.bell.ring(Ring::AtOnce);
            open += 1;
        }
    }

    fn has_suspects(&self) -> bool {
        let suspect = |(hand, since): &(Arc<Hand>, Instant)| {
            hand.is_suspect() && !hand.has_run() && since.elapsed() < PROBATION
        };
        self.runs.iter().any(suspect)
    }

    /// The next one that may be started.
    pub(super) fn granted(&mut self) -> Option<Arc<Hand>> {
        self.granted.pop_front().map(|(hand, _)| hand)
    }

    /// About how many wait for an answer that takes its time: the broker counts them, but they take no
    /// slot. In few steps, for each change of a prefetch lets as many come again.
    pub(super) fn slow(&self) -> usize {
        let slow = |(_, since): &&(_, Instant)| since.elapsed() >= PATIENCE;
        match self.asked.iter().filter(slow).count() {
            0 => 0,
            few if few <= MOST / 8 => MOST / 8,
            _ => MOST,
        }
    }

    /// The one that has waited longest to be asked about.
    pub(super) fn oldest(&self) -> Option<&Arc<Hand>> {
        self.waiting.front()
    }

    /// What nobody was asked about yet.
    pub(super) fn unasked(&mut self) -> impl Iterator<Item = Arc<Hand>> {
        self.waiting.drain(..)
    }

    /// What waits for an answer, and what was granted and did not start.
    pub(super) fn rest(&mut self) -> (Vec<Arc<Hand>>, Vec<Arc<Hand>>) {
        let asked = self.asked.drain(..).map(|(hand, _)| hand).collect();
        let granted = self.granted.drain(..).map(|(hand, _)| hand).collect();
        (asked, granted)
    }
}

/// What was granted, as it is to be started. It may have been cancelled meanwhile.
fn renew(desk: &Arc<Desk>, hand: Arc<Hand>) -> Arc<Hand> {
    let renewed = desk.hands.renew(hand, |correlation| {
        let (outbox, clock) = (Arc::clone(&desk.outbox), Arc::clone(&desk.clock));
        Teller::new(correlation, outbox, clock, true)
    });
    desk.stop_if_cancelled(&renewed);
    renewed
}
