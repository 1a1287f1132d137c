//! The in-memory broker against the conformance suite, and what only it promises.

use clerkwork_broker::conformance::{Fixture, bodies, numbered, take};
use clerkwork_broker::{Queue, QueueKind, Source, memory};

clerkwork_broker::broker_conformance!(fixture());

fn fixture() -> Fixture {
    // Its queues go with it.
    Fixture::new(memory::broker(), |_| Box::pin(async {}))
}

#[tokio::test]
async fn a_hundred_thousand_hints_wait_and_the_oldest_make_room() {
    let broker = memory::broker();
    let name = "hints".to_owned();
    let queue = Queue {
        name,
        kind: QueueKind::Hints,
        exchange: None,
        dead_letters: None,
    };
    broker.declare(&queue).await.unwrap();
    broker.send(numbered("hints", 0..100_005)).await;
    assert_eq!(broker.look("hints").await.unwrap().unwrap().ready, 100_000);
    let mut consumer = broker
        .consume(Source::Queue("hints".to_owned()), 10)
        .await
        .unwrap();
    assert_eq!(bodies(&take(&mut *consumer, 1).await), ["5"]);
}
