//! Claims about queues and exchanges.

use super::{Fixture, becomes, bodies, message, numbered, soon, take, work};
use crate::{Depth, Error, Published, Queue, QueueKind};

/// The first declaration makes the queue, the next ones find it as it is.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_declaration_makes_a_queue_and_the_next_ones_find_it(fixture: &Fixture) {
    let kinds = [
        QueueKind::Work,
        QueueKind::Replies,
        QueueKind::Keep,
        QueueKind::Hints,
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let name = fixture.name(&format!("new.{number}"));
        let dead_letters = (kind == QueueKind::Work).then(|| fixture.name("dead"));
        let queue = Queue {
            kind,
            dead_letters,
            ..work(&name)
        };
        for ready in [0, 1, 1] {
            match soon(fixture.broker.declare(&queue)).await {
                Ok(declared) => {
                    let consumers = 0;
                    assert_eq!(declared.depth, Depth { ready, consumers });
                }
                Err(error) => panic!("declaring {kind:?}: {error}"),
            }
            if ready == 0 {
                soon(fixture.broker.publish(numbered(&queue.name, 0..1))).await;
                let consumers = 0;
                becomes(
                    fixture,
                    &queue.name,
                    Depth {
                        ready: 1,
                        consumers,
                    },
                )
                .await;
            }
        }
    }
}

/// A queue on which nothing waits is deleted, one that holds something stays, and one that is not there
/// is gone already.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_queue_is_deleted_where_nothing_waits_on_it(fixture: &Fixture) {
    let broker = &fixture.broker;
    let queue = fixture.work("deleted").await;
    soon(broker.publish(numbered(&queue, 0..1))).await;
    let consumers = 0;
    becomes(
        fixture,
        &queue,
        Depth {
            ready: 1,
            consumers,
        },
    )
    .await;
    assert_eq!(soon(broker.delete(&queue)).await, Ok(false));
    let mut consumer = fixture.consume(&queue, 1).await;
    for delivery in take(&mut *consumer, 1).await {
        delivery.ack();
    }
    drop(consumer);
    becomes(fixture, &queue, Depth::default()).await;
    for _ in 0..2 {
        assert_eq!(soon(broker.delete(&queue)).await, Ok(true));
        assert_eq!(soon(broker.look(&queue)).await, Ok(None));
    }
    let fates = soon(broker.publish(numbered(&queue, 0..1))).await;
    assert_eq!(fates, [Published::Unroutable]);
}

/// A look counts what nobody has, and the consumers; where there is no queue it finds none.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_look_tells_what_waits_and_who_consumes(fixture: &Fixture) {
    let missing = fixture.name("missing");
    assert_eq!(soon(fixture.broker.look(&missing)).await, Ok(None));
    let queue = fixture.work("depth").await;
    soon(fixture.broker.publish(numbered(&queue, 0..7))).await;
    becomes(
        fixture,
        &queue,
        Depth {
            ready: 7,
            consumers: 0,
        },
    )
    .await;
    let mut consumer = fixture.consume(&queue, 3).await;
    let taken = take(&mut *consumer, 3).await;
    becomes(
        fixture,
        &queue,
        Depth {
            ready: 4,
            consumers: 1,
        },
    )
    .await;
    drop((consumer, taken));
    becomes(
        fixture,
        &queue,
        Depth {
            ready: 7,
            consumers: 0,
        },
    )
    .await;
}

/// A queue that is there as something else is not taken, and named.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_queue_of_another_kind_is_a_mismatch(fixture: &Fixture) {
    let queue = fixture.work("kind").await;
    let other = Queue {
        kind: QueueKind::Hints,
        ..work(&queue)
    };
    match soon(fixture.broker.declare(&other)).await {
        Err(Error::Mismatch {
            queue: named,
            detail,
        }) => {
            assert_eq!(named, queue);
            assert!(!detail.is_empty());
        }
        answer => panic!("it was declared as something else: {answer:?}"),
    }
    assert!(
        soon(fixture.broker.declare(&work(&queue))).await.is_ok(),
        "the queue was changed"
    );
}

/// A purge removes what nobody has, of one queue, and tells how much that was.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_purge_removes_what_waits_and_nothing_else(fixture: &Fixture) {
    let missing = fixture.name("missing");
    let purged = soon(fixture.broker.purge(&missing)).await;
    assert_eq!(purged, Err(Error::Missing(missing)));
    let (queue, other) = (fixture.work("purged").await, fixture.work("other").await);
    soon(fixture.broker.publish(numbered(&queue, 0..9))).await;
    soon(fixture.broker.publish(numbered(&other, 0..2))).await;
    let mut consumer = fixture.consume(&queue, 2).await;
    let taken = take(&mut *consumer, 2).await;
    let left = |ready, consumers| Depth { ready, consumers };
    becomes(fixture, &queue, left(7, 1)).await;
    // It may have been done before, unanswered.
    let purged = soon(fixture.broker.purge(&queue)).await;
    assert!(matches!(purged, Ok(0 | 7)), "{purged:?}");
    becomes(fixture, &queue, left(0, 1)).await;
    becomes(fixture, &other, left(2, 0)).await;
    // What a consumer has comes back when it goes.
    drop((consumer, taken));
    becomes(fixture, &queue, left(2, 0)).await;
    let purged = soon(fixture.broker.purge(&queue)).await;
    assert!(matches!(purged, Ok(0 | 2)), "{purged:?}");
}

/// A queue with an exchange is reached by its name on that exchange, and nothing else there is.
///
/// # Panics
/// If the claim does not hold.
pub async fn a_queue_is_reached_through_its_exchange(fixture: &Fixture) {
    let exchange = fixture.name("exchange");
    let bound = Queue {
        exchange: Some(exchange.clone()),
        ..work(&fixture.name("bound"))
    };
    assert!(soon(fixture.broker.declare(&bound)).await.is_ok());
    let unbound = fixture.work("unbound").await;
    let messages = [&bound.name, &unbound].map(|key| {
        let mut message = message(key, "through");
        message.exchange.clone_from(&exchange);
        message
    });
    let fates = soon(fixture.broker.publish(messages.to_vec())).await;
    assert_eq!(fates, [Published::Confirmed, Published::Unroutable]);
    let mut consumer = fixture.consume(&bound.name, 1).await;
    assert_eq!(bodies(&take(&mut *consumer, 1).await), ["through"]);
}
