//! Claims about consuming.

use std::time::Duration;

use tokio::time::timeout;

use super::{Fixture, becomes, bodies, cut, numbered, soon, take, take_all};
use crate::{Consumer, Depth, Error, Source};

/// Long enough for a delivery that is on its way to show, where none is expected.
const QUIET: Duration = Duration::from_millis(300);

/// No more come than the prefetch allows, and one more for each that is settled.
///
/// # Panics
/// If the claim does not hold.
pub async fn at_most_prefetch_deliveries_are_unsettled(fixture: &Fixture) {
    let queue = fixture.work("prefetch").await;
    soon(fixture.broker.publish(numbered(&queue, 0..20))).await;
    let mut consumer = fixture.consume(&queue, 5).await;
    let mut taken = take(&mut *consumer, 5).await;
    assert_quiet(&mut *consumer).await;
    taken.remove(0).ack();
    taken.remove(0).ack();
    taken.extend(take(&mut *consumer, 2).await);
    assert_quiet(&mut *consumer).await;
    assert_eq!(bodies(&taken), ["2", "3", "4", "5", "6"]);
}

/// What does not fit in a batch comes with the next one.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_batch_is_never_larger_than_asked_for(fixture: &Fixture) {
    let queue = fixture.work("batches").await;
    soon(fixture.broker.publish(numbered(&queue, 0..50))).await;
    let mut consumer = fixture.consume(&queue, 100).await;
    let mut taken = Vec::new();
    while taken.len() < 50 {
        let Ok(batch) = soon(consumer.next_batch(7)).await else {
            panic!("the consumer ended")
        };
        assert!((1..=7).contains(&batch.len()), "a batch of {}", batch.len());
        taken.extend(batch);
    }
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&taken), expected);
}

/// The prefetch can be changed while deliveries are unsettled; they stay ours.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_higher_prefetch_lets_more_come_and_gives_none_back(fixture: &Fixture) {
    let queue = fixture.work("raise").await;
    soon(fixture.broker.publish(numbered(&queue, 0..30))).await;
    let mut consumer = fixture.consume(&queue, 2).await;
    let mut taken = take(&mut *consumer, 2).await;
    assert_quiet(&mut *consumer).await;
    assert_eq!(soon(consumer.set_prefetch(40)).await, Ok(()));
    taken.extend(take(&mut *consumer, 28).await);
    let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&taken), expected);
    assert!(taken.iter().all(|delivery| !delivery.redelivered));
    for delivery in taken {
        delivery.ack();
    }
    soon(fixture.broker.publish(numbered(&queue, 30..31))).await;
    assert_eq!(bodies(&take(&mut *consumer, 1).await), ["30"]);
}

/// A consumer that stops hands out what it has, can settle it, and leaves the rest to others.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_stopped_consumer_ends_after_what_it_had(fixture: &Fixture) {
    let queue = fixture.work("stop").await;
    soon(fixture.broker.publish(numbered(&queue, 0..20))).await;
    let mut stopped = fixture.consume(&queue, 10).await;
    let mut taken = take(&mut *stopped, 1).await;
    assert_eq!(soon(stopped.stop()).await, Ok(()));
    let (rest, end) = take_all(&mut *stopped).await;
    assert_eq!(end, Error::Closed);
    taken.extend(rest);
    let mut other = fixture.consume(&queue, 100).await;
    let left = take(&mut *other, 20 - taken.len()).await;
    let mut all = bodies(&taken);
    all.extend(bodies(&left));
    all.sort_by_key(|number| number.parse::<usize>().unwrap_or_default());
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(all, expected);
    for delivery in taken {
        delivery.ack();
    }
    drop(stopped);
    assert_quiet(&mut *other).await;
}

/// A caller may stop waiting at any time.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_cancelled_wait_loses_no_delivery(fixture: &Fixture) {
    let queue = fixture.work("cancel").await;
    let mut consumer = fixture.consume(&queue, 500).await;
    let publish = async {
        for number in 0..100 {
            fixture
                .broker
                .publish(numbered(&queue, number..number + 1))
                .await;
        }
    };
    let collect = async {
        let mut taken = Vec::new();
        while taken.len() < 100 {
            match timeout(Duration::from_micros(50), consumer.next_batch(3)).await {
                Ok(Ok(batch)) => taken.extend(batch),
                Ok(Err(error)) => panic!("the consumer ended: {error}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        taken
    };
    let ((), taken) = soon(async { tokio::join!(publish, collect) }).await;
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&taken), expected);
}

/// Whoever wants to consume may give up at any poll. What is left behind would take deliveries that nobody
/// sees.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_consume_that_is_given_up_half_way_leaves_no_consumer_behind(fixture: &Fixture) {
    const ROUNDS: usize = 200;
    let queue = fixture.work("given-up").await;
    soon(fixture.broker.publish(numbered(&queue, 0..3))).await;
    // At once, and when it would be polled again.
    for at_once in [true, false] {
        let mut consumed = false;
        for polls in 1..ROUNDS {
            let consume = fixture.broker.consume(Source::Queue(queue.clone()), 1);
            let consumer = cut(consume, polls, at_once).await;
            if consumer.is_some() {
                consumed = true;
                break;
            }
        }
        assert!(consumed, "{ROUNDS} polls are enough to consume");
        let all_wait = Depth {
            ready: 3,
            consumers: 0,
        };
        becomes(fixture, &queue, all_wait).await;
    }
}

/// Each message goes to one of the consumers.
///
/// # Panics
/// If the claim does not hold.
pub async fn two_consumers_share_a_queue(fixture: &Fixture) {
    let queue = fixture.work("share").await;
    let mut first = fixture.consume(&queue, 10).await;
    let mut second = fixture.consume(&queue, 10).await;
    soon(fixture.broker.publish(numbered(&queue, 0..20))).await;
    let (mut all, others) = tokio::join!(take(&mut *first, 10), take(&mut *second, 10));
    all.extend(others);
    let mut numbers = bodies(&all);
    numbers.sort_by_key(|number| number.parse::<usize>().unwrap_or_default());
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected);
}

/// A queue that is not there is named.
///
/// # Panics
/// If the claim does not hold.
pub async fn there_is_no_consuming_from_a_queue_that_is_not_there(fixture: &Fixture) {
    let name = fixture.name("missing");
    let consumer = soon(fixture.broker.consume(Source::Queue(name.clone()), 1)).await;
    assert_eq!(consumer.err(), Some(Error::Missing(name)));
}

/// Who waits for a delivery is told that the broker is closed, and so is who comes later.
///
/// # Panics
/// If the claim does not hold.
pub async fn closing_the_broker_ends_its_consumers(fixture: &Fixture) {
    let queue = fixture.work("close").await;
    let mut consumer = fixture.consume(&queue, 10).await;
    let (ended, ()) = tokio::join!(soon(consumer.next_batch(1)), soon(fixture.broker.close()));
    assert_eq!(ended.err(), Some(Error::Closed));
    let later = soon(fixture.broker.consume(Source::Queue(queue.clone()), 1)).await;
    assert_eq!(later.err(), Some(Error::Closed));
    let fates = soon(fixture.broker.publish(numbered(&queue, 0..1))).await;
    assert_eq!(fates, [crate::Published::NotSent]);
}

async fn assert_quiet(consumer: &mut dyn Consumer) {
    let surplus = timeout(QUIET, consumer.next_batch(10)).await;
    assert!(surplus.is_err(), "one too many: {surplus:?}");
}
