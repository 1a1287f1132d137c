//! What all parts of a running worker share.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};

use clerkwork_broker::Broker;
use clerkwork_core::Clock;
use clerkwork_wire::Names;
use rand::RngExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cancels::Cancels;
use super::hands::{Hand, Hands};
use super::replier::Answer;
use super::{Health, Parts};
use crate::Options;
use crate::registry::Entry;
use crate::signal::Why;
use crate::teller::{Outbox, Ring};

/// The most bytes of the reason why a job could not be started.
pub(super) const MAX_REASON: usize = 512;

/// What all parts of a running worker share.
#[derive(Debug)]
pub(super) struct Desk {
    /// This incarnation: random per start.
    pub(super) id: String,
    pub(super) host: String,
    pub(super) options: Options,
    pub(super) names: Names,
    pub(super) entries: Vec<Entry>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hands: Hands,
    pub(super) cancels: Mutex<Cancels>,
    pub(super) outbox: Arc<Outbox>,
    /// How many reports were made.
    pub(super) reports: AtomicI64,
    pub(super) answers: mpsc::Sender<Answer>,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) health: watch::Sender<Health>,
    /// The name of the control queue of this connection; empty before there is one.
    pub(super) control: Mutex<String>,
    /// A clerk said stop.
    pub(super) stop_ordered: CancellationToken,
}

/// What lanes have to obey.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// A clerk has greeted this connection.
    pub(super) greeted: bool,
    /// Queues of which nothing is to be started.
    pub(super) paused: BTreeSet<String>,
    /// Take nothing more, stay.
    pub(super) quiet: bool,
    /// Take nothing more, end.
    pub(super) draining: bool,
}

impl Orders {
    /// Whether jobs of this queue may be taken.
    pub(super) fn may_take(&self, queue: &str) -> bool {
        self.greeted && !self.quiet && !self.draining && !self.paused.contains(queue)
    }
}

impl Desk {
    pub(super) fn new(parts: Parts, answers: mpsc::Sender<Answer>) -> Self {
        Self {
            id: format!("{:016x}", clerkwork_core::chance().random::<u64>()),
            host: host(),
            names: Names::new(&parts.options.prefix),
            options: parts.options,
            entries: parts.entries,
            broker: parts.broker,
            clock: parts.clock,
            hands: Hands::default(),
            cancels: Mutex::default(),
            outbox: Arc::default(),
            reports: AtomicI64::new(0),
            answers,
            orders: watch::Sender::default(),
            health: parts.health,
            control: Mutex::default(),
            stop_ordered: CancellationToken::new(),
        }
    }

    /// Changes the orders, and tells lanes, clerks and whoever watches the health.
    pub(super) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
        let (greeted, draining) = {
            let orders = self.orders.borrow();
            (orders.greeted, orders.draining)
        };
        self.health.send_if_modified(|health| {
            let before = (health.greeted, health.draining);
            (health.greeted, health.draining) = (greeted, draining);
            before != (greeted, draining)
        });
        self.outbox.bell.ring(Ring::Soon);
    }

    /// Notes whether a queue is on the broker.
    pub(super) fn found(&self, queue: &str, is_there: bool) {
        let changed = self.health.send_if_modified(|health| {
            let known = health.missing.iter().position(|missing| missing == queue);
            match (known, is_there) {
                (Some(at), true) => drop(health.missing.remove(at)),
                (None, false) => health.missing.push(queue.to_owned()),
                _ => return false,
            }
            true
        });
        if changed {
            self.outbox.bell.ring(Ring::Soon);
        }
    }

    /// Notes that jobs of a queue cannot be started here, and why.
    pub(super) fn cannot_start(&self, queue: &str, why: &str) {
        let why = why[..why.floor_char_boundary(MAX_REASON)].to_owned();
        let changed = self.health.send_if_modified(|health| {
            let known = health.cannot_start.insert(queue.to_owned(), why.clone());
            known != Some(why)
        });
        if changed {
            self.outbox.bell.ring(Ring::Soon);
        }
    }

    /// Notes that a job of a queue has begun.
    pub(super) fn can_start(&self, queue: &str) {
        // Most of the time there is nothing to change.
        if !self.stands_still(queue) {
            return;
        }
        let changed = self
            .health
            .send_if_modified(|health| health.cannot_start.remove(queue).is_some());
        if changed {
            tracing::info!(queue, "jobs can be started again");
            self.outbox.bell.ring(Ring::Soon);
            // Its lane takes more than one at a time again.
            self.orders.send_modify(|_| {});
        }
    }

    /// Whether the last job of a queue that was to be started here could not be.
    pub(super) fn stands_still(&self, queue: &str) -> bool {
        self.health.borrow().cannot_start.contains_key(queue)
    }

    /// Tells a delivery to stop if its cancel came before it.
    pub(super) fn stop_if_cancelled(&self, hand: &Hand) {
        let cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        if cancels.contains(hand.id, hand.attempt) {
            hand.signal.ask(Why::Cancelled);
        }
    }

    /// The name of the control queue.
    pub(super) fn control_queue(&self) -> String {
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes the name of the control queue.
    pub(super) fn set_control_queue(&self, name: &str) {
        name.clone_into(&mut self.control.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The machine's name, for people.
fn host() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
