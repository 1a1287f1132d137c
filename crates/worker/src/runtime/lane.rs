//! One queue of a worker: takes its deliveries, starts what fits, gives back what may not start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{Consumer, Delivery, Error, Source};
use clerkwork_faults::{Point, reach};
use clerkwork_wire::v1::{Job, Refused};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::control::Backoff;
use super::desk::{Desk, Orders};
use super::execute::{self, Executed};
use super::hands::{Claim, Epoch, Hand};
use super::pace::Pace;
use super::questions::Questions;
use super::trouble::Trouble;
use super::unread;
use crate::registry::Entry;
use crate::signal::Why;
use crate::teller::{Ring, Teller};

/// How many more deliveries wait here while a queue's jobs prove short.
const AHEAD: usize = 64;
/// How long a delivery may wait behind others before it is given to somebody else.
const STUCK: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long a consumer may take to stop.
const STOP: Duration = Duration::from_secs(5);

/// Works on one queue until the worker drains and the last of its attempts has ended.
pub(super) async fn run(desk: Arc<Desk>, entry: Entry) {
    let mut lane = Lane {
        orders: desk.orders.subscribe(),
        desk,
        entry,
        waiting: VecDeque::new(),
        questions: Questions::default(),
        running: JoinSet::new(),
        pace: Pace::default(),
        trouble: Trouble::default(),
        held: 0,
    };
    lane.work().await;
    while lane.running.join_next().await.is_some() {}
}

struct Lane {
    desk: Arc<Desk>,
    entry: Entry,
    orders: watch::Receiver<Orders>,
    /// Deliveries that have not started.
    waiting: VecDeque<Arc<Hand>>,
    /// Those that may have been started before.
    questions: Questions,
    running: JoinSet<Executed>,
    pace: Pace,
    trouble: Trouble,
    /// How many of those that run are held under the lease alone.
    held: usize,
}

impl Lane {
    async fn work(&mut self) {
        let mut wait = Backoff::default();
        loop {
            let queue = Arc::clone(&self.entry.queue);
            if !self.cleared().await {
                return;
            }
            let from = Source::Queue(self.desk.names.jobs(&queue));
            let prefetch = self.prefetch();
            let (orders, of) = (&mut self.orders, Arc::clone(&queue));
            let consumer = tokio::select! {
                biased;
                // Nothing less: whoever gives up half way gives back, as redelivered, what was on its way.
                _ = orders.wait_for(|orders| !orders.may_take(&of)) => continue,
                consumer = self.desk.broker.consume(from, prefetch) => consumer,
            };
            let error = match consumer {
                Ok(consumer) => {
                    self.desk.found(&queue, true);
                    wait = Backoff::default();
                    match self.serve(consumer).await {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.lost(&queue, &error);
            tokio::select! {
                biased;
                () = sleep(wait.next()) => {}
                _ = self.orders.wait_for(|orders| orders.draining) => {}
            }
        }
    }

    /// Waits until jobs may be taken and there is a slot; `false`: never again.
    async fn cleared(&mut self) -> bool {
        loop {
            self.count_held();
            self.release_held();
            let (draining, may_take) = self.ordered();
            let pause = self.trouble.until(Instant::now());
            if draining || (may_take && self.slots() > 0 && pause.is_none()) {
                return !draining;
            }
            tokio::select! {
                biased;
                () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => {}
                changed = self.orders.changed() => if changed.is_err() {
                    return false;
                },
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    self.note(ended.ok());
                }
            }
        }
    }

    /// Works with one consumer, until it is lost or jobs may not be taken any more.
    async fn serve(&mut self, mut consumer: Box<dyn Consumer>) -> Result<(), Error> {
        let epoch = Arc::new(Epoch::default());
        let mut prefetch = self.prefetch();
        loop {
            let (_, may_take) = self.ordered();
            if !may_take || self.slots() == 0 || self.trouble.until(Instant::now()).is_some() {
                self.give_back_all();
                self.retire(consumer, &epoch).await;
                return Ok(());
            }
            self.start_what_fits();
            let stuck = self.is_stuck();
            if stuck {
                self.pace.forget();
            }
            if self.prefetch() != prefetch {
                prefetch = self.prefetch();
                consumer.set_prefetch(prefetch).await?;
            }
            // Only now, that nothing comes in their place.
            self.release_held();
            if stuck {
                self.give_back();
            }
            tokio::select! {
                biased;
                _ = self.orders.changed() => self.count_held(),
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    self.note(ended.ok());
                    while let Some(ended) = self.running.try_join_next() {
                        self.note(ended.ok());
                    }
                    if self.held > 0 {
                        self.count_held();
                    }
                }
                batch = consumer.next_batch(self.entry.concurrency + AHEAD) => {
                    for delivery in batch? {
                        self.take(delivery, &epoch).await;
                    }
                }
                () = sleep(LOOK), if self.somebody_waits() => {}
            }
        }
    }

    /// Takes a delivery in hand. One that cannot be read is answered, so that its job ends.
    async fn take(&mut self, delivery: Delivery, epoch: &Arc<Epoch>) {
        reach(Point::WorkerAfterDelivery);
        let job = Job::decode(&delivery.envelope);
        let names = job.as_ref().ok().and_then(|job| {
            let (id, attempt) = job.names()?;
            Some((id.parse().ok()?, attempt))
        });
        let (job, names) = match (job, names) {
            (Ok(job), Some(names)) => (job, names),
            (Ok(job), None) => {
                let why = format!("the message id {:?} names no attempt", job.message_id);
                let claim = Claim::new(delivery, epoch);
                return unread::answer(
                    &self.desk,
                    &self.entry.queue,
                    claim,
                    &Refused::Malformed(why),
                )
                .await;
            }
            (Err(why), _) => {
                let claim = Claim::new(delivery, epoch);
                return unread::answer(&self.desk, &self.entry.queue, claim, &why).await;
            }
        };
        let (desk, redelivered) = (&self.desk, delivery.redelivered);
        let correlation: Arc<str> = job.correlation.as_str().into();
        let claim = Claim::new(delivery, epoch);
        let hand = desk
            .hands
            .arrive(&Arc::clone(&correlation), claim, |claim| {
                let teller = Teller::new(
                    correlation,
                    Arc::clone(&desk.outbox),
                    Arc::clone(&desk.clock),
                    redelivered,
                );
                Hand::new(
                    job,
                    names,
                    Arc::new(teller),
                    &self.entry.queue,
                    self.entry.run.stop_grace(),
                    claim,
                )
            });
        let Some(hand) = hand else { return };
        desk.stop_if_cancelled(&hand);
        if hand.doubtful {
            self.questions.push(hand);
        } else {
            self.waiting.push_back(hand);
        }
    }

    /// Starts what has a slot, and answers for what was cancelled while it waited. What was granted
    /// goes first, and what must be granted is asked about before others take the slots.
    fn start_what_fits(&mut self) {
        let asked = |hand: &Arc<Hand>| hand.signal.why().is_some();
        if self.waiting.iter().any(asked) {
            let (cancelled, waiting): (VecDeque<_>, _) = self.waiting.drain(..).partition(asked);
            self.waiting = waiting;
            cancelled.into_iter().for_each(|hand| self.start(hand));
        }
        for hand in self.questions.settle(&self.desk) {
            self.start(hand);
        }
        while self.running.len() < self.entry.concurrency
            && let Some(hand) = self.questions.granted()
        {
            self.start(hand);
        }
        let free = self.entry.concurrency.saturating_sub(self.running.len());
        self.questions.ask(&self.desk, free);
        while self.running.len() < self.entry.concurrency
            && let Some(hand) = self.waiting.pop_front()
        {
            self.start(hand);
        }
    }

    fn start(&mut self, hand: Arc<Hand>) {
        let (desk, entry) = (Arc::clone(&self.desk), self.entry.clone());
        self.running.spawn(execute::execute(desk, entry, hand));
    }

    fn note(&mut self, ended: Option<Executed>) {
        match ended {
            Some(Executed::Ran(took)) => self.pace.note(took),
            Some(Executed::NotStarted(why)) => self.stand_still(&why),
            Some(Executed::Uncounted) | None => {}
        }
    }

    /// Leaves the queue to other workers for a while: its jobs cannot be started here.
    fn stand_still(&mut self, why: &str) {
        let queue = &self.entry.queue;
        if !self.desk.stands_still(queue) {
            // Others were started since.
            self.trouble.forget();
        }
        if let Some(pause) = self.trouble.note(Instant::now()) {
            self.pace.forget();
            tracing::warn!(
                %queue, why, ?pause,
                "a job could not be started and is given back; nothing more is taken for a while"
            );
        }
        self.desk.cannot_start(queue, why);
    }

    /// Whether something waits behind long jobs for so long that it is for somebody else.
    fn is_stuck(&self) -> bool {
        let now = Instant::now();
        let long = |hand: &Arc<Hand>| hand.age(now) > STUCK;
        let full = self.running.len() >= self.entry.concurrency;
        self.waiting.front().is_some_and(long)
            || (full && self.questions.oldest().is_some_and(long))
    }

    fn somebody_waits(&self) -> bool {
        !self.waiting.is_empty() || !self.questions.is_empty()
    }

    /// Whether to drain, and whether jobs may be taken.
    fn ordered(&mut self) -> (bool, bool) {
        let orders = self.orders.borrow_and_update();
        (orders.draining, orders.may_take(&self.entry.queue))
    }

    /// Counts the jobs that run under the lease alone: the broker does not see them, so prefetch
    /// has to leave out their slots.
    fn count_held(&mut self) {
        let mut held = 0;
        self.desk
            .hands
            .each(|hand| held += usize::from(hand.is_held_in(&self.entry.queue)));
        self.held = held;
    }

    /// Acknowledges what is held.
    fn release_held(&self) {
        if self.held > 0 {
            self.desk.hands.each(|hand| {
                if hand.is_held_in(&self.entry.queue) && hand.release() {
                    reach(Point::WorkerAfterHeldAck);
                }
            });
        }
    }

    /// The slots that are not taken by held jobs.
    fn slots(&self) -> usize {
        self.entry.concurrency.saturating_sub(self.held)
    }

    /// Gives back what waits for a slot.
    fn give_back(&mut self) {
        let mut any = false;
        for hand in self.waiting.drain(..).chain(self.questions.unasked()) {
            self.desk.hands.give_back(&hand);
            any = true;
        }
        if any {
            // Whoever gets it may have to wait until we do not list it any more.
            self.desk.outbox.bell.ring(Ring::Soon);
        }
    }

    /// Gives back all that has not started. What was granted is on record as started: it is answered for.
    fn give_back_all(&mut self) {
        for hand in self.questions.settle(&self.desk) {
            self.start(hand);
        }
        self.give_back();
        let (asked, granted) = self.questions.rest();
        for hand in asked {
            self.desk.hands.give_back(&hand);
        }
        for hand in granted {
            hand.signal.ask(Why::Draining);
            self.start(hand);
        }
    }

    /// Takes no more from a consumer, gives back what was on its way, and keeps it until all that
    /// came through it is settled.
    async fn retire(&self, mut consumer: Box<dyn Consumer>, epoch: &Arc<Epoch>) {
        let stopped = async {
            consumer.stop().await?;
            loop {
                for delivery in consumer.next_batch(usize::from(u16::MAX)).await? {
                    delivery.requeue();
                }
            }
        };
        let stopped: Result<Result<(), Error>, _> = timeout(STOP, stopped).await;
        if matches!(stopped, Ok(Err(Error::Closed))) {
            epoch.retire(consumer);
        }
    }

    /// The consumer is gone, and with it every delivery that has not started; what runs goes on.
    fn lost(&mut self, queue: &str, error: &Error) {
        self.give_back_all();
        match error {
            Error::Missing(_) => {
                self.desk.found(queue, false);
                tracing::warn!(
                    queue,
                    "the queue is missing; waiting for a clerk to declare it"
                );
            }
            error => tracing::warn!(queue, %error, "cannot consume; trying again"),
        }
    }

    fn prefetch(&self) -> u16 {
        if self.desk.stands_still(&self.entry.queue) {
            // One job shows whether they can be started again.
            return 1;
        }
        let ahead = if self.pace.is_short() { AHEAD } else { 0 };
        u16::try_from(self.slots() + ahead + self.questions.slow()).unwrap_or(u16::MAX)
    }
}
