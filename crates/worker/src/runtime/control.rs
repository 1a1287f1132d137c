//! What clerks tell this worker, and obeying it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use clerkwork_broker::{Consumer, Envelope, Error, Source};
use clerkwork_wire::v1::{Control, Stopped};
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::hands::Answered;
use crate::signal::Why;
use crate::teller::Ring;

/// How many control messages may be unsettled.
const PREFETCH: u16 = 256;
/// How many clerks may be greeting at once; more are no clerks.
const GREETERS: usize = 1_024;

/// Listens to clerks until told to stop.
pub(super) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let mut wait = Backoff::default();
    loop {
        let from = Source::Private {
            prefix: format!("{}.control.{}.", desk.options.prefix, desk.broker.user()),
            exchange: desk.names.control(),
            declare_exchange: false,
        };
        let consumer = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            consumer = desk.broker.consume(from, PREFETCH) => consumer,
        };
        let error = match consumer {
            Ok(consumer) => {
                wait = Backoff::default();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    error = listen(&desk, consumer) => error,
                }
            }
            Err(error) => error,
        };
        tracing::warn!(%error, "no control queue; trying again");
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait.next()) => {}
        }
    }
}

/// Greets and obeys on one connection, until it is lost.
async fn listen(desk: &Desk, mut consumer: Box<dyn Consumer>) -> Error {
    desk.set_control_queue(consumer.queue());
    let mut ear = Ear::default();
    desk.order(|orders| orders.greeted = false);
    desk.outbox.bell.ring(Ring::Now);
    loop {
        match consumer.next_batch(PREFETCH.into()).await {
            Ok(batch) => {
                for delivery in batch {
                    ear.hear(desk, &delivery.envelope);
                    delivery.ack();
                }
            }
            Err(error) => {
                desk.set_control_queue("");
                desk.order(|orders| orders.greeted = false);
                return error;
            }
        }
    }
}

/// What was heard on one connection.
#[derive(Debug, Default)]
struct Ear {
    /// Queues that were paused since the connection began, and not resumed.
    paused: BTreeSet<String>,
    /// Greetings that are not complete yet, by clerk, with the paused queues so far.
    greetings: HashMap<String, Vec<String>>,
}

impl Ear {
    fn hear(&mut self, desk: &Desk, envelope: &Envelope) {
        if let Some(user) = &desk.options.clerk_user
            && envelope.user_id.as_ref() != Some(user)
        {
            tracing::warn!(user = ?envelope.user_id, "a control message that no clerk sent; ignored");
            return;
        }
        match Control::decode(envelope) {
            Ok(control) => self.obey(desk, control),
            Err(refused) => tracing::warn!(%refused, "a control message that cannot be read"),
        }
    }

    fn obey(&mut self, desk: &Desk, control: Control) {
        cancel(desk, &control.cancel);
        cancel(desk, &control.cancelled);
        if !control.pause.is_empty() || !control.resume.is_empty() {
            self.paused.extend(control.pause.iter().cloned());
            self.paused.retain(|queue| !control.resume.contains(queue));
            let mut paused = desk.orders.borrow().paused.clone();
            paused.extend(control.pause.iter().cloned());
            paused.retain(|queue| !control.resume.contains(queue));
            // Clerks say it again and again.
            if paused != desk.orders.borrow().paused {
                desk.order(|orders| orders.paused = paused);
            }
        }
        settle(desk, &control);
        if let Some(clerk) = control.hello {
            self.greet(desk, &clerk, control.paused, control.complete);
        }
        if control.quiet {
            desk.order(|orders| orders.quiet = true);
        }
        if control.stop {
            desk.stop_ordered.cancel();
        }
    }

    fn greet(&mut self, desk: &Desk, clerk: &str, paused: Vec<String>, complete: bool) {
        if self.greetings.len() >= GREETERS {
            self.greetings.clear();
        }
        let so_far = self.greetings.entry(clerk.to_owned()).or_default();
        so_far.extend(paused);
        if !complete {
            return;
        }
        let mut all: BTreeSet<String> = std::mem::take(so_far).into_iter().collect();
        self.greetings.remove(clerk);
        all.extend(self.paused.iter().cloned());
        tracing::debug!(clerk, "greeted");
        desk.order(|orders| {
            orders.greeted = true;
            orders.paused = all;
        });
    }
}

/// Remembers cancels, and stops what is in hand.
fn cancel(desk: &Desk, stopped: &[Stopped]) {
    if stopped.is_empty() {
        return;
    }
    let mut found = false;
    {
        let mut cancels = desk.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        cancels.remember(stopped);
        desk.hands.each(|hand| {
            if cancels.contains(hand.id, hand.attempt) {
                found |= hand.stop(Why::Cancelled, Duration::MAX);
            }
        });
    }
    if found {
        // Lanes answer for what has not started.
        desk.orders.send_modify(|_| {});
    }
}

/// Does what clerks say of single deliveries.
fn settle(desk: &Desk, control: &Control) {
    if control.held.is_empty() && control.refused.is_empty() && control.granted.is_empty() {
        return;
    }
    desk.hands.each(|hand| {
        let is = |message: &String| *message == hand.job.message_id;
        let granted = control.granted.iter().find(|it| is(&it.message));
        if let Some(granted) = granted {
            hand.take_answer(Answered::Granted(granted.clone()));
        } else if control.refused.iter().any(is) {
            if !hand.take_answer(Answered::Refused) {
                hand.refuse();
            }
        } else if control.held.iter().any(is) {
            hand.hold();
        }
    });
    desk.orders.send_modify(|_| {});
}

/// Longer waits with each failure, never quite the same.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// The next wait, at most 5 s.
    pub(super) fn next(&mut self) -> Duration {
        let most = Duration::from_millis(100) * 2u32.saturating_pow(self.0.min(6));
        self.0 = self.0.saturating_add(1);
        most.min(Duration::from_secs(5))
            .mul_f64(clerkwork_core::chance().random_range(0.5..1.0))
    }
}
