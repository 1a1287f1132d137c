//! What every broker must do, as claims: a new broker is one module that passes them.
//!
//! A test crate calls [`crate::broker_conformance!`] with an expression that makes a [`Fixture`], and
//! gets one test per claim.

pub mod consuming;
pub mod private;
pub mod publishing;
pub mod settling;
pub mod topology;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::{
    Broker, Consumer, Delivery, Depth, Envelope, Error, Message, Queue, QueueKind, Source, Status,
};

/// How long anything that is expected may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A broker to try, and names on it that nobody else uses.
#[derive(Debug)]
pub struct Fixture {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    prefix: String,
    names: Mutex<BTreeSet<String>>,
    clean_up: fn(Vec<String>) -> BoxFuture<'static, ()>,
}

impl Fixture {
    /// A broker, and how to remove the queues and exchanges of these names from it.
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        clean_up: fn(Vec<String>) -> BoxFuture<'static, ()>,
    ) -> Self {
        let prefix = format!("conformance.{:016x}", rand::random::<u64>());
        Self {
            broker,
            prefix,
            names: Mutex::default(),
            clean_up,
        }
    }

    /// A name of this fixture alone.
    pub fn name(&self, name: &str) -> String {
        let name = format!("{}.{name}", self.prefix);
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone());
        name
    }

    /// Declares a queue for work and returns its name.
    pub async fn work(&self, name: &str) -> String {
        let name = self.name(name);
        let declared = self.broker.declare(&work(&name)).await;
        assert!(declared.is_ok(), "declaring {name}: {declared:?}");
        name
    }

    /// Consumes from a queue.
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Box<dyn Consumer> {
        self.consume_from(Source::Queue(queue.to_owned()), prefetch)
            .await
    }

    /// Consumes from anywhere.
    pub async fn consume_from(&self, from: Source, prefetch: u16) -> Box<dyn Consumer> {
        match soon(self.broker.consume(from, prefetch)).await {
            Ok(consumer) => consumer,
            Err(error) => panic!("cannot consume: {error}"),
        }
    }
}

/// Runs one claim and cleans up, whatever comes of it.
///
/// # Panics
/// If the claim does not hold.
pub async fn run<F>(fixture: Fixture, claim: impl FnOnce(Arc<Fixture>) -> F)
where
    F: Future<Output = ()>,
{
    let fixture = Arc::new(fixture);
    let broker = Arc::clone(&fixture.broker);
    let up = timeout(PATIENCE, async {
        broker
            .status()
            .wait_for(|status| *status == Status::Up)
            .await
            .is_ok()
    });
    assert_eq!(
        up.await,
        Ok(true),
        "the broker is away: {:?}",
        *broker.status().borrow()
    );
    let outcome = AssertUnwindSafe(claim(Arc::clone(&fixture)))
        .catch_unwind()
        .await;
    broker.close().await;
    let names = std::mem::take(&mut *fixture.names.lock().unwrap_or_else(PoisonError::into_inner));
    (fixture.clean_up)(names.into_iter().collect()).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Waits for what must come.
///
/// # Panics
/// If it does not come.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, what).await {
        Ok(answer) => answer,
        Err(_) => panic!("nothing came within {PATIENCE:?}"),
    }
}

/// Polls a future so many times and drops it: when it would be polled again, or `at_once`. What came of it, if
/// that was enough.
///
/// # Panics
/// If it is not woken.
pub async fn cut<T>(future: impl Future<Output = T>, polls: usize, at_once: bool) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    soon(poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if at_once && left == 0 => Poll::Ready(None),
            polled => polled.map(Some),
        }
    }))
    .await
}

/// Takes so many deliveries.
///
/// # Panics
/// If the consumer ends before.
pub async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        match soon(consumer.next_batch(count - taken.len())).await {
            Ok(batch) => taken.extend(batch),
            Err(error) => panic!("ended after {} of {count} deliveries: {error}", taken.len()),
        }
    }
    taken
}

/// Takes until the end, and says how it ended.
pub async fn take_all(consumer: &mut dyn Consumer) -> (Vec<Delivery>, Error) {
    let mut taken = Vec::new();
    loop {
        match soon(consumer.next_batch(100)).await {
            Ok(batch) => taken.extend(batch),
            Err(error) => return (taken, error),
        }
    }
}

/// Waits until a look at the queue finds this; what brokers tell lags behind.
///
/// # Panics
/// If it does not become that.
pub async fn becomes(fixture: &Fixture, queue: &str, expected: Depth) {
    let start = Instant::now();
    loop {
        let found = soon(fixture.broker.look(queue)).await;
        if found == Ok(Some(expected)) {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{found:?} did not become {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The bodies as text.
#[must_use]
pub fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let text = |delivery: &Delivery| String::from_utf8_lossy(&delivery.envelope.body).into_owned();
    deliveries.iter().map(text).collect()
}

/// A queue for work under a name.
#[must_use]
pub fn work(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        kind: QueueKind::Work,
        exchange: None,
        dead_letters: None,
    }
}

/// A durable message with a body of text to a queue.
#[must_use]
pub fn message(queue: &str, body: &str) -> Message {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Message {
        exchange: String::new(),
        key: queue.to_owned(),
        durable: true,
        envelope: Envelope {
            body,
            ..Envelope::default()
        },
    }
}

/// Messages whose bodies are the numbers of a range.
#[must_use]
pub fn numbered(queue: &str, numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers
        .map(|number| message(queue, &number.to_string()))
        .collect()
}

/// Stamps one test per claim.
#[macro_export]
macro_rules! broker_conformance {
    ($fixture:expr) => {
        $crate::broker_conformance! { $fixture;
            publishing::messages_of_one_key_arrive_in_order
            publishing::unroutable_messages_are_told_from_their_neighbours
            publishing::batches_at_the_same_time_get_their_own_answers
            publishing::a_message_that_is_too_large_is_not_sent_and_its_neighbours_are
            publishing::a_body_of_ten_mebibytes_arrives_intact
            publishing::properties_and_headers_arrive_as_sent
            publishing::an_empty_body_arrives
            publishing::hints_arrive_and_those_without_a_queue_do_no_harm
            publishing::a_publish_that_is_dropped_half_way_is_done_once_or_not_and_holds_nobody_up
            consuming::at_most_prefetch_deliveries_are_unsettled
            consuming::a_batch_is_never_larger_than_asked_for
            consuming::a_higher_prefetch_lets_more_come_and_gives_none_back
            consuming::a_stopped_consumer_ends_after_what_it_had
            consuming::a_cancelled_wait_loses_no_delivery
            consuming::a_consume_that_is_given_up_half_way_leaves_no_consumer_behind
            consuming::two_consumers_share_a_queue
            consuming::there_is_no_consuming_from_a_queue_that_is_not_there
            consuming::closing_the_broker_ends_its_consumers
            settling::an_acknowledged_message_is_gone
            settling::a_requeued_message_comes_back_as_redelivered
            settling::deliveries_settled_out_of_order_are_settled_right
            settling::what_a_dropped_consumer_had_not_settled_comes_back
            settling::settling_in_an_old_epoch_changes_nothing
            topology::a_declaration_makes_a_queue_and_the_next_ones_find_it
            topology::a_queue_is_deleted_where_nothing_waits_on_it
            topology::a_look_tells_what_waits_and_who_consumes
            topology::a_queue_of_another_kind_is_a_mismatch
            topology::a_queue_is_reached_through_its_exchange
            topology::a_purge_removes_what_waits_and_nothing_else
            private::a_private_queue_is_new_for_each_consumer_and_gone_with_it
            private::every_private_queue_gets_every_message
            private::a_private_queue_keeps_the_newest_ten_thousand
            private::a_declared_exchange_serves_queues_of_those_who_may_not_declare_it
            private::a_private_queue_needs_its_exchange
        }
    };
    ($fixture:expr; $($subject:ident :: $claim:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let claim = |fixture: std::sync::Arc<$crate::conformance::Fixture>| async move {
                    $crate::conformance::$subject::$claim(&fixture).await;
                };
                $crate::conformance::run($fixture, claim).await;
            }
        )*
    };
}
