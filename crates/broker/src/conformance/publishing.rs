//! Claims about publishing.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Fixture, bodies, cut, message, numbered, soon, take, work};
use crate::{Delivery, Envelope, MAX_MESSAGE, Message, Published, Queue, QueueKind};

/// Batch after batch, the order of publishing is the order of delivery.
///
/// # Panics
/// If the claim does not hold.
pub async fn messages_of_one_key_arrive_in_order(fixture: &Fixture) {
    let queue = fixture.work("order").await;
    let mut consumer = fixture.consume(&queue, 2_000).await;
    for start in (0..1_000).step_by(200) {
        let fates = soon(fixture.broker.publish(numbered(&queue, start..start + 200))).await;
        assert_eq!(fates, vec![Published::Confirmed; 200]);
    }
    let taken = take(&mut *consumer, 1_000).await;
    let expected: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&taken), expected);
    assert!(taken.iter().all(|delivery| !delivery.redelivered));
}

/// Of a thousand in flight, every second one has no queue; the answers say which.
///
/// # Panics
/// If the claim does not hold.
pub async fn unroutable_messages_are_told_from_their_neighbours(fixture: &Fixture) {
    let queue = fixture.work("here").await;
    // On this exchange there is no queue of that key: one key, so that all go the same way.
    let exchange = fixture.name("exchange");
    let elsewhere = Queue {
        exchange: Some(exchange.clone()),
        ..work(&fixture.name("elsewhere"))
    };
    assert!(soon(fixture.broker.declare(&elsewhere)).await.is_ok());
    let mut consumer = fixture.consume(&queue, 2_000).await;
    for round in 0..4 {
        let messages = (0..1_000_usize).map(|number| {
            let mut message = message(&queue, "x");
            message.envelope.message_id = Some(format!("{round}:{number}"));
            if !number.is_multiple_of(2) {
                message.exchange.clone_from(&exchange);
            }
            message
        });
        let fates = soon(fixture.broker.publish(messages.collect())).await;
        for (number, fate) in fates.into_iter().enumerate() {
            let expected = match number % 2 {
                0 => Published::Confirmed,
                _ => Published::Unroutable,
            };
            assert_eq!(fate, expected, "message {number} of round {round}");
        }
        for delivery in take(&mut *consumer, 500).await {
            delivery.ack();
        }
    }
}

/// Several callers publish at once, good and bad, and each is told of its own.
///
/// # Panics
/// If the claim does not hold.
pub async fn batches_at_the_same_time_get_their_own_answers(fixture: &Fixture) {
    let (queue, nowhere) = (fixture.work("shared").await, fixture.name("nowhere"));
    let batches = (0..40_usize).map(|number| {
        let (target, expected) = match number % 3 {
            0 => (&nowhere, Published::Unroutable),
            _ => (&queue, Published::Confirmed),
        };
        async move {
            let fates = soon(fixture.broker.publish(numbered(target, 0..number))).await;
            assert_eq!(fates, vec![expected; number]);
        }
    });
    join_all(batches).await;
}

/// Too much body, too long a name and too many headers are refused without harm to the rest.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_message_that_is_too_large_is_not_sent_and_its_neighbours_are(fixture: &Fixture) {
    let queue = fixture.work("sizes").await;
    let mut messages = numbered(&queue, 0..5);
    messages[1].envelope.body = Bytes::from(vec![0; MAX_MESSAGE + 1]);
    messages[2].envelope.correlation_id = Some("c".repeat(256));
    messages[3]
        .envelope
        .headers
        .set("large", "h".repeat(7 * 1024));
    let fates = soon(fixture.broker.publish(messages)).await;
    let large = Published::TooLarge;
    assert_eq!(
        fates,
        [
            Published::Confirmed,
            large,
            large,
            large,
            Published::Confirmed
        ]
    );
    let mut consumer = fixture.consume(&queue, 10).await;
    assert_eq!(bodies(&take(&mut *consumer, 2).await), ["0", "4"]);
}

/// Ten mebibytes arrive as they were sent.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_body_of_ten_mebibytes_arrives_intact(fixture: &Fixture) {
    let queue = fixture.work("large").await;
    let pattern = (0..10 * 1024 * 1024_usize).map(|at| u8::try_from(at % 251).unwrap_or_default());
    let body: Bytes = pattern.collect::<Vec<u8>>().into();
    let mut large = message(&queue, "");
    large.envelope.body = body.clone();
    assert_eq!(
        soon(fixture.broker.publish(vec![large])).await,
        [Published::Confirmed]
    );
    let mut consumer = fixture.consume(&queue, 10).await;
    let taken = take(&mut *consumer, 1).await;
    assert!(
        taken[0].envelope.body == body,
        "the body was changed on its way"
    );
}

/// Everything in an envelope arrives.
///
/// # Panics
/// If the claim does not hold.
pub async fn properties_and_headers_arrive_as_sent(fixture: &Fixture) {
    let queue = fixture.work("envelope").await;
    let mut sent = Envelope {
        content_type: Some("application/json".to_owned()),
        correlation_id: Some("c".repeat(255)),
        reply_to: Some("clerkwork.replies".to_owned()),
        message_id: Some("a-job:1".to_owned()),
        kind: Some("job".to_owned()),
        user_id: None,
        headers: crate::Headers::default(),
        body: Bytes::from_static(&[0, 255, 10]),
    };
    sent.headers.set("a-text", "größer\n");
    sent.headers.set("an-int", i64::MIN);
    sent.headers.set("b-flag", true);
    let message = Message {
        exchange: String::new(),
        key: queue.clone(),
        durable: true,
        envelope: sent.clone(),
    };
    assert_eq!(
        soon(fixture.broker.publish(vec![message])).await,
        [Published::Confirmed]
    );
    let mut consumer = fixture.consume(&queue, 10).await;
    assert_eq!(take(&mut *consumer, 1).await[0].envelope, sent);
}

/// A message may have no bytes at all.
///
/// # Panics
/// If the claim does not hold.
pub async fn an_empty_body_arrives(fixture: &Fixture) {
    let queue = fixture.work("empty").await;
    let fates = soon(fixture.broker.publish(vec![message(&queue, "")])).await;
    assert_eq!(fates, [Published::Confirmed]);
    let mut consumer = fixture.consume(&queue, 10).await;
    assert_eq!(bodies(&take(&mut *consumer, 1).await), [""]);
}

/// Hints are sent without an answer; one that reaches nobody is dropped.
///
/// # Panics
/// If the claim does not hold.
pub async fn hints_arrive_and_those_without_a_queue_do_no_harm(fixture: &Fixture) {
    let name = fixture.name("hints");
    let queue = Queue {
        name: name.clone(),
        kind: QueueKind::Hints,
        exchange: None,
        dead_letters: None,
    };
    assert!(fixture.broker.declare(&queue).await.is_ok());
    let mut consumer = fixture.consume(&name, 100).await;
    let mut hints = numbered(&name, 0..3);
    hints.insert(1, message(&fixture.name("nowhere"), "lost"));
    for hint in &mut hints {
        hint.durable = false;
    }
    soon(fixture.broker.send(hints)).await;
    assert_eq!(bodies(&take(&mut *consumer, 3).await), ["0", "1", "2"]);
}

/// Whoever publishes may go away at any poll: what it published is there once or not at all, whatever is
/// published next is confirmed and comes after it.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_publish_that_is_dropped_half_way_is_done_once_or_not_and_holds_nobody_up(
    fixture: &Fixture,
) {
    const ROUNDS: usize = 200;
    let queue = fixture.work("dropped").await;
    let mut consumer = fixture.consume(&queue, 100).await;
    for polls in 0..ROUNDS {
        let publish = fixture.broker.publish(numbered(&queue, 0..3));
        let fates = cut(publish, polls, false).await;
        let next = soon(fixture.broker.publish(vec![message(&queue, "next")])).await;
        assert_eq!(next, [Published::Confirmed]);
        let mut came = Vec::new();
        while came.last().is_none_or(|body| body != "next") {
            let batch = take(&mut *consumer, 1).await;
            came.extend(bodies(&batch));
            batch.into_iter().for_each(Delivery::ack);
        }
        came.pop();
        let all = ["0", "1", "2"];
        assert!(
            came.is_empty() || came == all,
            "{came:?} after {polls} polls"
        );
        if let Some(fates) = fates {
            assert_eq!(fates, [Published::Confirmed; 3]);
            assert_eq!(came, all);
            return;
        }
    }
    panic!("{ROUNDS} polls are enough for a publish");
}
