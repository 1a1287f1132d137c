//! Tests on connections with few channels, of which each that the broker closes is one less.

use std::time::Duration;

use clerkwork_broker::conformance::{Fixture, bodies, message, numbered, run, soon, take, work};
use clerkwork_broker::{Error, Published, Source, Status, amqp};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::proxy::{Proxy, UNANSWERED};
use crate::support::{becomes, delete, options};

/// Channels on a connection; more are asked for in each test.
const FEW: u16 = 8;
const MANY: usize = 30;

/// A broker that allows so few channels, and the proxy on the way to it.
async fn few() -> (Proxy, Fixture) {
    let proxy = Proxy::allowing(FEW).await;
    let broker = amqp::connect(&options(proxy.url(), "channels")).unwrap();
    let fixture = Fixture::new(broker, |names| Box::pin(delete(names)));
    becomes(&*fixture.broker, |status| *status == Status::Up).await;
    (proxy, fixture)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_missing_queues_leave_enough_channels_for_all_else() {
    let (_proxy, fixture) = few().await;
    run(fixture, |fixture| async move {
        let broker = &fixture.broker;
        let queue = fixture.work("served").await;
        let mut consumer = fixture.consume(&queue, 10).await;
        for number in 0..MANY {
            let missing = fixture.name(&format!("missing.{number}"));
            assert_eq!(soon(broker.look(&missing)).await, Ok(None));
        }
        let found = soon(broker.look(&queue)).await.unwrap().unwrap();
        assert_eq!(found.consumers, 1, "the consumer was disturbed");
        let fresh = work(&fixture.name("fresh"));
        soon(broker.declare(&fresh)).await.unwrap();
        for queue in [&queue, &fresh.name] {
            let fates = soon(broker.publish(numbered(queue, 0..1))).await;
            assert_eq!(fates, [Published::Confirmed]);
        }
        assert_eq!(bodies(&take(&mut *consumer, 1).await), ["0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatched_queue_is_told_however_often_it_is_declared() {
    let (_proxy, fixture) = few().await;
    run(fixture, |fixture| async move {
        let queue = fixture.work("kept").await;
        let other = clerkwork_broker::Queue {
            kind: clerkwork_broker::QueueKind::Hints,
            ..work(&queue)
        };
        for _ in 0..MANY {
            let declared = soon(fixture.broker.declare(&other)).await;
            assert!(
                matches!(declared, Err(Error::Mismatch { .. })),
                "{declared:?}"
            );
        }
        assert!(soon(fixture.broker.declare(&work(&queue))).await.is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_missing_for_long_is_consumed_once_it_is_there() {
    let (_proxy, fixture) = few().await;
    run(fixture, |fixture| async move {
        let late = work(&fixture.name("late"));
        for _ in 0..MANY {
            let from = Source::Queue(late.name.clone());
            let answer = soon(fixture.broker.consume(from, 1)).await;
            assert_eq!(answer.err(), Some(Error::Missing(late.name.clone())));
        }
        soon(fixture.broker.declare(&late)).await.unwrap();
        let mut consumer = fixture.consume(&late.name, 1).await;
        soon(fixture.broker.publish(numbered(&late.name, 0..1))).await;
        assert_eq!(bodies(&take(&mut *consumer, 1).await), ["0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_no_exchange_leave_channels_for_those_that_follow() {
    let (_proxy, fixture) = few().await;
    run(fixture, |fixture| async move {
        let broker = &fixture.broker;
        let queue = fixture.work("after").await;
        for _ in 0..MANY {
            let mut astray = message(&queue, "astray");
            astray.exchange = fixture.name("no-exchange");
            soon(broker.publish(vec![astray.clone()])).await;
            soon(broker.send(vec![astray])).await;
        }
        let confirmed = async {
            while broker.publish(numbered(&queue, 0..1)).await != [Published::Confirmed] {
                becomes(&**broker, |status| *status == Status::Up).await;
            }
        };
        soon(confirmed).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_end_though_the_broker_answers_none_of_many() {
    let proxy = Proxy::start().await;
    let broker = amqp::connect(&options(proxy.url(), "channels")).unwrap();
    let fixture = Fixture::new(broker, |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("answered").await;
        let hung = (0..MANY).map(|number| {
            let (broker, name) = (&fixture.broker, format!("{UNANSWERED}.{number}"));
            async move { broker.look(&name).await }
        });
        // On a few channels, a few at a time, they would take more than two minutes.
        let answers = timeout(Duration::from_secs(90), join_all(hung)).await;
        for answer in answers.expect("looks wait for looks") {
            assert!(matches!(answer, Err(Error::Away(_))), "{answer:?}");
        }
        assert!(soon(fixture.broker.look(&queue)).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_allows_too_few_channels_is_refused_by_name() {
    let proxy = Proxy::allowing(3).await;
    let checked = amqp::check(&options(proxy.url(), "channels")).await;
    let Err(Error::TooFewChannels(told)) = checked else {
        panic!("it was not refused: {checked:?}")
    };
    assert!(told.contains("channel_max"), "{told}");
    assert!(told.contains("allows 3 channels"), "{told}");
}
