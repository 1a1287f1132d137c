//! Every delivery that a worker has in hand, from its arrival until its reply is confirmed.

mod asked;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use clerkwork_broker::{Consumer, Delivery, Envelope};
use clerkwork_core::{JobId, UnixMs};
use clerkwork_wire::v1::{Held, InHand, Job};
use tokio::time::Instant;

use crate::signal::{Signal, Why};
use crate::teller::Teller;
pub(super) use asked::Answered;

/// From this age on a delivery is listed in reports.
pub(super) const LISTED_AFTER: Duration = Duration::from_millis(250);
/// How many answered deliveries are remembered, so that none is run again whose acknowledgement
/// was lost.
const REMEMBERED: usize = 4_096;

/// A delivery as long as it is ours to settle, with the life of the channel that it came on.
#[derive(Debug)]
pub(super) struct Claim {
    delivery: Delivery,
    epoch: Arc<Epoch>,
}

/// The life of one consumer. Once retired it lives until its last delivery is settled, since
/// settling needs it.
#[derive(Default)]
pub(super) struct Epoch(OnceLock<Mutex<Box<dyn Consumer>>>);

/// One delivery in hand.
#[derive(Debug)]
pub(super) struct Hand {
    /// The correlation id that it came with.
    delivered: Arc<str>,
    /// The one to answer with: the same, unless a clerk granted another.
    pub(super) correlation: Arc<str>,
    pub(super) job: Job,
    pub(super) id: JobId,
    pub(super) attempt: u32,
    queue: Arc<str>,
    /// Whether it may have been started before, so that it is started only when granted.
    pub(super) doubtful: bool,
    /// What a clerk said of that.
    answer: OnceLock<Answered>,
    pub(super) signal: Signal,
    pub(super) teller: Arc<Teller>,
    arrived: Instant,
    timeout: Duration,
    stop_grace: Duration,
    stage: Mutex<Stage>,
}

/// How far a delivery in hand has come.
#[derive(Debug)]
struct Stage {
    claim: Option<Claim>,
    held: Held,
    started: Option<(UnixMs, Instant)>,
    /// It has begun, so that clerks are told of the start.
    begun: bool,
    /// When it is ended by force.
    force_at: Option<Instant>,
    /// It has run; its reply awaits the confirm.
    answered: bool,
    /// Reports ask whether it may be started.
    asks: bool,
    /// What the last report said of it.
    listed: Option<(Option<i64>, Held)>,
}

/// All deliveries in hand.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// In an order that does not depend on the run, as reports and drains go through all.
    hands: BTreeMap<Arc<str>, Arc<Hand>>,
    answered: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

/// What is due for one delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// When to ask a clerk to hold it; `None`: never.
    pub(super) hold_after: Option<Duration>,
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() {
            "Epoch(retired)"
        } else {
            "Epoch"
        })
    }
}

impl Epoch {
    /// Keeps a consumer that takes no more until its deliveries are settled.
    pub(super) fn retire(&self, consumer: Box<dyn Consumer>) {
        // An epoch has one consumer, so the place is free.
        let _ = self.0.set(Mutex::new(consumer));
    }
}

impl Claim {
    pub(super) fn new(delivery: Delivery, epoch: &Arc<Epoch>) -> Self {
        Self {
            delivery,
            epoch: Arc::clone(epoch),
        }
    }

    /// Whether the broker gave it to somebody before.
    pub(super) fn is_redelivered(&self) -> bool {
        self.delivery.redelivered
    }

    /// What was delivered.
    pub(super) fn envelope(&self) -> &Envelope {
        &self.delivery.envelope
    }

    /// Takes the delivery off the queue for good.
    pub(super) fn ack(self) {
        let Self { delivery, epoch } = self;
        delivery.ack();
        drop(epoch);
    }

    /// Gives the delivery to somebody else.
    pub(super) fn requeue(self) {
        let Self { delivery, epoch } = self;
        delivery.requeue();
        drop(epoch);
    }
}

impl Hand {
    pub(super) fn new(
        job: Job,
        (id, attempt): (JobId, u32),
        teller: Arc<Teller>,
        queue: &Arc<str>,
        stop_grace: Duration,
        claim: Claim,
    ) -> Self {
        Self {
            delivered: teller.correlation(),
            correlation: teller.correlation(),
            doubtful: job.ask || claim.is_redelivered(),
            answer: OnceLock::new(),
            timeout: Duration::from_millis(job.timeout_ms),
            job,
            id,
            attempt,
            queue: Arc::clone(queue),
            signal: Signal::default(),
            teller,
            arrived: Instant::now(),
            stop_grace,
            stage: Mutex::new(Stage {
                claim: Some(claim),
                held: Held::No,
                started: None,
                begun: false,
                force_at: None,
                answered: false,
                asks: false,
                listed: None,
            }),
        }
    }

    /// Notes that it is about to start: its time runs.
    pub(super) fn start(&self, at: UnixMs) {
        self.stage().started = Some((at, Instant::now()));
    }

    /// Notes that it has begun.
    pub(super) fn begin(&self) {
        self.stage().begun = true;
    }

    /// Notes that it has run.
    pub(super) fn answer(&self) {
        self.stage().answered = true;
    }

    /// How long it has been in hand.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.arrived)
    }

    /// Asks it to stop, and ends it by force after its own grace or `most`; whether that is news.
    pub(super) fn stop(&self, why: Why, most: Duration) -> bool {
        let mut stage = self.stage();
        if stage.answered {
            return false;
        }
        let first = self.signal.ask(why);
        let force_at = Instant::now() + self.stop_grace.min(most);
        stage.force_at = Some(stage.force_at.map_or(force_at, |known| known.min(force_at)));
        first
    }

    /// Does what is due; says whether clerks do not yet know where it stands.
    pub(super) fn sweep(&self, now: Instant, rules: Rules) -> bool {
        let timed_out = {
            let mut stage = self.stage();
            if let Some((_, since)) = stage.started.filter(|_| !stage.answered) {
                let age = now.duration_since(since);
                let long = rules.hold_after.is_some_and(|hold_after| age >= hold_after);
                if long && stage.held == Held::No {
                    stage.held = Held::Asked;
                }
                if stage.force_at.is_some_and(|force_at| now >= force_at) {
                    self.signal.force();
                }
                age >= self.timeout && stage.force_at.is_none()
            } else {
                false
            }
        };
        if timed_out {
            self.stop(Why::TimedOut, Duration::MAX);
        }
        self.teller.tell_due(now);
        let stage = self.stage();
        self.age(now) > LISTED_AFTER && stage.listed != Some(stage.standing())
    }

    /// What a report says of it, once it is old enough.
    pub(super) fn list(&self, now: Instant) -> Option<InHand> {
        if self.age(now) <= LISTED_AFTER {
            return None;
        }
        let mut stage = self.stage();
        let (started_at, held) = stage.standing();
        stage.listed = Some((started_at, held));
        let correlation = self.correlation.as_ref().to_owned();
        Some(InHand {
            correlation,
            started_at,
            held,
        })
    }

    /// A clerk has recorded that the lease guards it: the broker need not, once it is released.
    pub(super) fn hold(&self) {
        let mut stage = self.stage();
        if stage.held == Held::Asked {
            stage.held = Held::Yes;
        }
    }

    /// Whether it runs in this queue under the lease alone.
    pub(super) fn is_held_in(&self, queue: &Arc<str>) -> bool {
        let stage = self.stage();
        stage.held == Held::Yes && !stage.answered && Arc::ptr_eq(&self.queue, queue)
    }

    /// Acknowledges it while it runs; whether that was still to be done.
    pub(super) fn release(&self) -> bool {
        let claim = self.take_claim();
        let unsettled = claim.is_some();
        if let Some(claim) = claim {
            claim.ack();
        }
        unsettled
    }

    /// A clerk says that this attempt is not wanted: stops it and acknowledges.
    pub(super) fn refuse(&self) {
        self.stop(Why::Refused, Duration::MAX);
        self.release();
    }

    /// The same delivery came again: from now on it is the one to settle.
    fn adopt(&self, claim: Claim) {
        let mut stage = self.stage();
        let surplus = match stage.held {
            Held::Yes => Some(claim),
            // If the old one still counts it is a duplicate, else this does nothing.
            Held::No | Held::Asked => stage.claim.replace(claim),
        };
        drop(stage);
        if let Some(surplus) = surplus {
            surplus.ack();
        }
    }

    fn take_claim(&self) -> Option<Claim> {
        self.stage().claim.take()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// What reports say: when it started, and who guards it.
    fn standing(&self) -> (Option<i64>, Held) {
        let begun = self.started.filter(|_| self.begun);
        (begun.map(|(at, _)| at.0), self.held)
    }
}

impl Hands {
    /// Takes a new delivery in hand. One that is in hand already is adopted, not run twice; one
    /// that was answered is acknowledged.
    pub(super) fn arrive(
        &self,
        correlation: &str,
        claim: Claim,
        make: impl FnOnce(Claim) -> Hand,
    ) -> Option<Arc<Hand>> {
        let mut table = self.table();
        if let Some(known) = table.hands.get(correlation) {
            known.adopt(claim);
            return None;
        }
        if table.answered.contains(correlation) {
            drop(table);
            claim.ack();
            return None;
        }
        let hand = Arc::new(make(claim));
        table
            .hands
            .insert(Arc::clone(&hand.delivered), Arc::clone(&hand));
        Some(hand)
    }

    /// Its reply is confirmed: acknowledges it, and remembers that.
    pub(super) fn confirm(&self, hand: &Hand) {
        let mut table = self.table();
        table.hands.remove(&hand.delivered);
        if table.answered.insert(Arc::clone(&hand.delivered)) {
            table.order.push_back(Arc::clone(&hand.delivered));
        }
        if table.order.len() > REMEMBERED
            && let Some(oldest) = table.order.pop_front()
        {
            table.answered.remove(&oldest);
        }
        drop(table);
        hand.release();
    }

    /// It is for somebody else.
    pub(super) fn give_back(&self, hand: &Hand) {
        self.table().hands.remove(&hand.delivered);
        if let Some(claim) = hand.take_claim() {
            claim.requeue();
        }
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.table().hands.is_empty()
    }

    /// Looks at each delivery in hand.
    pub(super) fn each(&self, mut look: impl FnMut(&Hand)) {
        for hand in self.table().hands.values() {
            look(hand);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
