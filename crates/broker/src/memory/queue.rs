//! One queue: what waits on it, who consumes from it, and what they have not settled.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Delivery, Depth, Envelope, Queue, QueueKind, Settle, Settler};

/// A queue and its two signals.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Something is ready: wakes one consumer that waits, who passes it on.
    pub(super) arrived: Notify,
    state: Mutex<State>,
}

/// What a queue was declared as; a second declaration must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Declared by somebody for everybody.
    Shared {
        kind: QueueKind,
        dead_letters: Option<String>,
    },
    /// Of one consumer, gone with it.
    Private,
}

/// One consumer of a queue, as its deliveries know it.
#[derive(Debug)]
pub(super) struct Seat {
    line: Arc<Line>,
    id: u64,
    /// A full consumer has room again.
    pub(super) freed: Notify,
}

/// What a consumer found when it asked for deliveries.
pub(super) enum Taken {
    /// At least one.
    Some(Vec<Delivery>),
    /// Nothing is ready.
    Empty,
    /// It has as many unsettled as it may.
    Full,
    /// It was stopped, or the broker was closed.
    Over,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their numbers.
    ready: VecDeque<Ready>,
    consumers: HashMap<u64, Holding>,
    /// Numbers messages in the order of arrival, which is where a returned one belongs again.
    next_number: u64,
    next_consumer: u64,
    closed: bool,
}

#[derive(Debug)]
struct Ready {
    number: u64,
    redelivered: bool,
    envelope: Envelope,
}

#[derive(Debug)]
struct Holding {
    prefetch: usize,
    stopped: bool,
    next_tag: u64,
    unsettled: BTreeMap<u64, (u64, Envelope)>,
}

impl Shape {
    pub(super) fn of(queue: &Queue) -> Self {
        Self::Shared {
            kind: queue.kind,
            dead_letters: queue.dead_letters.clone(),
        }
    }

    /// How many wait at most, the oldest dropped for the newest. What is dispatched is bounded by
    /// the clerks' window, so work needs no bound here.
    fn bound(&self) -> Option<usize> {
        match self {
            Self::Shared {
                kind: QueueKind::Hints,
                ..
            } => Some(crate::HINTS_BOUND),
            Self::Shared {
                kind: QueueKind::Work | QueueKind::Replies | QueueKind::Keep,
                ..
            } => None,
            Self::Private => Some(crate::PRIVATE_BOUND),
        }
    }
}

impl Line {
    pub(super) fn new(name: String, shape: Shape) -> Self {
        Self {
            name,
            shape,
            arrived: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Puts a batch at the end.
    pub(super) fn push(&self, envelopes: impl Iterator<Item = Envelope>) {
        let mut state = self.lock();
        for envelope in envelopes {
            let number = state.next_number;
            state.next_number += 1;
            state.ready.push_back(Ready {
                number,
                redelivered: false,
                envelope,
            });
        }
        if let Some(bound) = self.shape.bound() {
            let surplus = state.ready.len().saturating_sub(bound);
            state.ready.drain(..surplus);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Removes what is ready; how many that was.
    pub(super) fn purge(&self) -> u64 {
        let mut state = self.lock();
        let count = state.ready.len() as u64;
        state.ready.clear();
        count
    }

    pub(super) fn depth(&self) -> Depth {
        let state = self.lock();
        let consumers = state
            .consumers
            .values()
            .filter(|holding| !holding.stopped)
            .count();
        Depth {
            ready: state.ready.len() as u64,
            consumers: consumers as u64,
        }
    }

    /// Seats a new consumer.
    pub(super) fn join(self: &Arc<Self>, prefetch: u16) -> Arc<Seat> {
        let mut state = self.lock();
        let id = state.next_consumer;
        state.next_consumer += 1;
        state.consumers.insert(
            id,
            Holding {
                prefetch: usize::from(prefetch.max(1)),
                stopped: false,
                next_tag: 1,
                unsettled: BTreeMap::new(),
            },
        );
        Arc::new(Seat {
            line: Arc::clone(self),
            id,
            freed: Notify::new(),
        })
    }

    /// Ends every consumer.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.consumers.clear();
        drop(state);
        self.arrived.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Takes what is ready and fits, at most `most`.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Taken {
        let mut guard = self.line.lock();
        let state = &mut *guard;
        let Some(holding) = state.consumers.get_mut(&self.id) else {
            return Taken::Over;
        };
        if holding.stopped || state.closed {
            return Taken::Over;
        }
        let room = holding.prefetch.saturating_sub(holding.unsettled.len());
        if room == 0 {
            return Taken::Full;
        }
        let count = room.min(most.max(1)).min(state.ready.len());
        if count == 0 {
            return Taken::Empty;
        }
        let taken: Vec<Ready> = state.ready.drain(..count).collect();
        let first_tag = holding.next_tag;
        holding.next_tag += count as u64;
        let copies = taken
            .iter()
            .map(|ready| (ready.number, ready.envelope.clone()));
        holding.unsettled.extend((first_tag..).zip(copies));
        let left = !state.ready.is_empty();
        drop(guard);
        if left {
            self.line.arrived.notify_one();
        }
        let deliveries = (first_tag..).zip(taken).map(|(tag, ready)| {
            let settler = Arc::clone(self) as Arc<dyn Settler>;
            Delivery::new(ready.envelope, ready.redelivered, tag, settler)
        });
        Taken::Some(deliveries.collect())
    }

    /// Sets how many may be unsettled; `None` if the consumer is over.
    pub(super) fn set_prefetch(&self, prefetch: u16) -> Option<()> {
        let mut state = self.line.lock();
        state.consumers.get_mut(&self.id)?.prefetch = usize::from(prefetch.max(1));
        Some(())
    }

    /// Takes no more.
    pub(super) fn stop(&self) {
        if let Some(holding) = self.line.lock().consumers.get_mut(&self.id) {
            holding.stopped = true;
        }
        // A wake-up that was meant for this consumer is for somebody else now.
        self.line.arrived.notify_one();
    }

    /// Gives back all that is unsettled and ends the epoch.
    pub(super) fn leave(&self) {
        let mut state = self.line.lock();
        let held = state
            .consumers
            .remove(&self.id)
            .map(|holding| holding.unsettled);
        for (number, envelope) in held.into_iter().flat_map(BTreeMap::into_values) {
            state.give_back(number, envelope);
        }
        drop(state);
        self.line.arrived.notify_one();
    }
}

impl Settler for Seat {
    fn settle(&self, tag: u64, how: Settle) {
        let mut state = self.line.lock();
        let Some(holding) = state.consumers.get_mut(&self.id) else {
            return;
        };
        let was_full = holding.unsettled.len() >= holding.prefetch;
        let Some((number, envelope)) = holding.unsettled.remove(&tag) else {
            return;
        };
        if how == Settle::Requeue {
            state.give_back(number, envelope);
        }
        drop(state);
        if was_full {
            self.freed.notify_one();
        }
        if how == Settle::Requeue {
            self.line.arrived.notify_one();
        }
    }
}

impl State {
    /// Puts a message back to where it was.
    fn give_back(&mut self, number: u64, envelope: Envelope) {
        let place = self.ready.partition_point(|ready| ready.number < number);
        self.ready.insert(
            place,
            Ready {
                number,
                redelivered: true,
                envelope,
            },
        );
    }
}
