//! Claims about private queues.

use super::{Fixture, PATIENCE, bodies, message, numbered, soon, take};
use crate::{Error, Message, PRIVATE_BOUND, Published, Source};

/// Two consumers of one source have two queues; a name begins as asked and is gone in the end.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_private_queue_is_new_for_each_consumer_and_gone_with_it(fixture: &Fixture) {
    let (prefix, from) = source(fixture);
    let first = fixture.consume_from(from.clone(), 10).await;
    let second = fixture.consume_from(from, 10).await;
    let names = [first.queue().to_owned(), second.queue().to_owned()];
    assert_ne!(names[0], names[1]);
    for name in &names {
        let random = name.strip_prefix(&prefix).unwrap_or_default();
        assert!(
            random.len() == 32 && random.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{name}"
        );
    }
    drop(first);
    let start = std::time::Instant::now();
    while soon(fixture.broker.look(&names[0])).await != Ok(None) {
        assert!(start.elapsed() < PATIENCE, "{} is still there", names[0]);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_ne!(soon(fixture.broker.look(&names[1])).await, Ok(None));
}

/// A message to the exchange reaches all, by its queue's name one.
///
/// # Panics
/// If the claim does not hold.
pub async fn every_private_queue_gets_every_message(fixture: &Fixture) {
    let (_, from) = source(fixture);
    let mut first = fixture.consume_from(from.clone(), 10).await;
    let mut second = fixture.consume_from(from.clone(), 10).await;
    let all = to_all(&from, vec![message("", "all")]);
    assert_eq!(
        soon(fixture.broker.publish(all)).await,
        [Published::Confirmed]
    );
    let one = message(second.queue(), "one");
    assert_eq!(
        soon(fixture.broker.publish(vec![one])).await,
        [Published::Confirmed]
    );
    assert_eq!(bodies(&take(&mut *second, 2).await), ["all", "one"]);
    assert_eq!(bodies(&take(&mut *first, 1).await), ["all"]);
    drop((first, second));
}

/// Of more than its bound the oldest are lost.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_private_queue_keeps_the_newest_ten_thousand(fixture: &Fixture) {
    let (_, from) = source(fixture);
    let mut consumer = fixture.consume_from(from.clone(), 1).await;
    let last = PRIVATE_BOUND + 99;
    soon(
        fixture
            .broker
            .publish(to_all(&from, numbered("", 0..last + 1))),
    )
    .await;
    let mut taken = Vec::new();
    loop {
        let delivery = take(&mut *consumer, 1).await.remove(0);
        let body = bodies(std::slice::from_ref(&delivery)).remove(0);
        delivery.ack();
        let number: usize = body.parse().unwrap_or(usize::MAX);
        taken.push(number);
        // Reading all of them one by one would prove no more.
        if taken.len() == 50 {
            break;
        }
    }
    // The first may have been delivered before it could be dropped.
    taken.retain(|number| *number > 0);
    let oldest = last + 1 - PRIVATE_BOUND;
    assert!(taken.len() >= 49 && taken[0] >= oldest, "{taken:?}");
    assert!(taken[0] <= oldest + 1, "{taken:?}");
}

/// Without its exchange there is no private queue; it is not made unless asked for.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_private_queue_needs_its_exchange(fixture: &Fixture) {
    let (_, from) = source(fixture);
    let Source::Private {
        prefix, exchange, ..
    } = from
    else {
        panic!("it is private")
    };
    let missing = Error::Missing(exchange.clone());
    let from = Source::Private {
        prefix,
        exchange,
        declare_exchange: false,
    };
    assert_eq!(
        soon(fixture.broker.consume(from, 1)).await.err(),
        Some(missing)
    );
}

/// # Panics
/// If the claim does not hold.
pub async fn a_declared_exchange_serves_queues_of_those_who_may_not_declare_it(fixture: &Fixture) {
    let (_, from) = source(fixture);
    let Source::Private {
        prefix, exchange, ..
    } = from
    else {
        panic!("it is private")
    };
    for _ in 0..2 {
        let declared = soon(fixture.broker.declare_fanout(&exchange)).await;
        assert_eq!(declared, Ok(()));
    }
    let from = Source::Private {
        prefix,
        exchange,
        declare_exchange: false,
    };
    let refused = soon(fixture.broker.consume(from, 1)).await.err();
    assert_eq!(refused, None);
}

fn source(fixture: &Fixture) -> (String, Source) {
    let prefix = fixture.name("private.");
    let exchange = fixture.name("fanout");
    let from = Source::Private {
        prefix: prefix.clone(),
        exchange,
        declare_exchange: true,
    };
    (prefix, from)
}

fn to_all(from: &Source, mut messages: Vec<Message>) -> Vec<Message> {
    let Source::Private { exchange, .. } = from else {
        panic!("it is private")
    };
    for message in &mut messages {
        message.exchange.clone_from(exchange);
        message.durable = false;
    }
    messages
}
