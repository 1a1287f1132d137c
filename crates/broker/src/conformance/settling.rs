//! Claims about settling.

use super::{Fixture, bodies, numbered, soon, take};

/// What is acknowledged does not come again, even if the consumer is dropped at once.
///
/// # Panics
/// If the claim does not hold.
pub async fn an_acknowledged_message_is_gone(fixture: &Fixture) {
    let queue = fixture.work("ack").await;
    soon(fixture.broker.publish(numbered(&queue, 0..100))).await;
    let mut consumer = fixture.consume(&queue, 200).await;
    for delivery in take(&mut *consumer, 100).await {
        delivery.ack();
    }
    drop(consumer);
    soon(fixture.broker.publish(numbered(&queue, 100..101))).await;
    let mut next = fixture.consume(&queue, 200).await;
    assert_eq!(bodies(&take(&mut *next, 1).await), ["100"]);
}

/// What is given back comes again, marked.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_requeued_message_comes_back_as_redelivered(fixture: &Fixture) {
    let queue = fixture.work("requeue").await;
    soon(fixture.broker.publish(numbered(&queue, 0..1))).await;
    let mut consumer = fixture.consume(&queue, 10).await;
    for round in 0..3 {
        let delivery = take(&mut *consumer, 1).await.remove(0);
        assert_eq!(
            (&delivery.envelope.body[..], delivery.redelivered),
            (&b"0"[..], round > 0)
        );
        delivery.requeue();
    }
    take(&mut *consumer, 1).await.remove(0).ack();
    soon(fixture.broker.publish(numbered(&queue, 1..2))).await;
    assert_eq!(bodies(&take(&mut *consumer, 1).await), ["1"]);
}

/// Acks in any order, mixed with returns and with deliveries that are kept.
///
/// # Panics
/// If the claim does not hold.
pub async fn deliveries_settled_out_of_order_are_settled_right(fixture: &Fixture) {
    let queue = fixture.work("mixed").await;
    soon(fixture.broker.publish(numbered(&queue, 0..100))).await;
    let mut consumer = fixture.consume(&queue, 100).await;
    let mut kept = Vec::new();
    for delivery in take(&mut *consumer, 100).await.into_iter().rev() {
        let number: usize = bodies(std::slice::from_ref(&delivery))[0]
            .parse()
            .unwrap_or(0);
        match number % 10 {
            3 => kept.push(delivery),
            7 => delivery.requeue(),
            _ => delivery.ack(),
        }
    }
    let back = take(&mut *consumer, 10).await;
    assert_eq!(
        sorted(&back),
        (0..10).map(|tens| tens * 10 + 7).collect::<Vec<usize>>()
    );
    for delivery in back {
        delivery.ack();
    }
    drop(consumer);
    let mut next = fixture.consume(&queue, 100).await;
    let rest = take(&mut *next, 10).await;
    assert_eq!(
        sorted(&rest),
        (0..10).map(|tens| tens * 10 + 3).collect::<Vec<usize>>()
    );
    assert_eq!(kept.len(), 10);
}

/// A consumer that goes leaves what it had to others, in order and marked.
///
/// # Panics
/// If the claim does not hold.
pub async fn what_a_dropped_consumer_had_not_settled_comes_back(fixture: &Fixture) {
    let queue = fixture.work("drop").await;
    soon(fixture.broker.publish(numbered(&queue, 0..5))).await;
    let mut consumer = fixture.consume(&queue, 3).await;
    let taken = take(&mut *consumer, 3).await;
    assert_eq!(bodies(&taken), ["0", "1", "2"]);
    drop(consumer);
    let mut next = fixture.consume(&queue, 10).await;
    let mut again = take(&mut *next, 5).await;
    again.sort_by_key(|delivery| delivery.envelope.body.clone());
    let marks: Vec<bool> = again.iter().map(|delivery| delivery.redelivered).collect();
    assert_eq!(bodies(&again), ["0", "1", "2", "3", "4"]);
    assert_eq!(marks[..3], [true; 3]);
}

/// Settling a delivery whose consumer is gone neither takes the message from the queue nor doubles it.
///
/// # Panics
/// If the claim does not hold.
pub async fn settling_in_an_old_epoch_changes_nothing(fixture: &Fixture) {
    let queue = fixture.work("epoch").await;
    soon(fixture.broker.publish(numbered(&queue, 0..2))).await;
    let mut consumer = fixture.consume(&queue, 10).await;
    let mut old = take(&mut *consumer, 2).await;
    drop(consumer);
    let mut next = fixture.consume(&queue, 10).await;
    let new = take(&mut *next, 2).await;
    old.remove(0).ack();
    old.remove(0).requeue();
    drop(next);
    drop(new);
    let mut last = fixture.consume(&queue, 10).await;
    assert_eq!(sorted(&take(&mut *last, 2).await), [0, 1]);
}

fn sorted(deliveries: &[crate::Delivery]) -> Vec<usize> {
    let mut numbers: Vec<usize> = bodies(deliveries)
        .iter()
        .filter_map(|number| number.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}
