//! What must hold while connections, channels and queues go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::conformance::{
    Fixture, bodies, message, numbered, run, soon, take, take_all,
};
use clerkwork_broker::{Broker, Error, Message, Published, Source, Status, amqp};
use lapin::options::QueueDeleteOptions;
use tokio::time::timeout;

use crate::proxy::{BLOCKED, Proxy, UNBLOCKED};
use crate::support::{becomes, broker, delete, options, stranger};

const MESSAGES: usize = 5_000;
const CUTS: usize = 5;

/// Cuts the connection, and waits until the broker has noticed: it may be up again by then.
async fn cut(broker: &dyn Broker, proxy: &Proxy) {
    let mut status = broker.status();
    status.mark_unchanged();
    proxy.cut();
    soon(status.changed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_survive_five_losses_of_both_connections() {
    let proxy = Proxy::start().await;
    let broker = amqp::connect(&options(proxy.url(), "faults")).unwrap();
    let fixture = Fixture::new(Arc::clone(&broker), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("cuts").await;
        let ((), seen) = tokio::join!(
            publish_in_turn(&*broker, &queue),
            consume_all(&*broker, &queue, &proxy),
        );
        assert_eq!(seen, (0..MESSAGES).collect());
        // What was settled is settled: nothing comes back from a consumer that is gone.
        let depth = soon(broker.look(&queue)).await.unwrap().unwrap();
        assert_eq!(depth.ready, 0);
    })
    .await;
}

async fn publish_in_turn(broker: &dyn Broker, queue: &str) {
    for start in (0..MESSAGES).step_by(100) {
        publish_all(broker, numbered(queue, start..start + 100)).await;
    }
}

/// Publishes each message until it is confirmed.
async fn publish_all(broker: &dyn Broker, mut left: Vec<Message>) {
    while !left.is_empty() {
        let mut fates = soon(broker.publish(left.clone())).await.into_iter();
        left.retain(|_| fates.next() != Some(Published::Confirmed));
        becomes(broker, |status| *status == Status::Up).await;
        tokio::task::yield_now().await;
    }
}

/// Consumes until every message was seen and nothing more comes, cutting the connections on the way.
async fn consume_all(broker: &dyn Broker, queue: &str, proxy: &Proxy) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut cuts = 0;
    loop {
        let from = Source::Queue(queue.to_owned());
        let mut consumer = soon(broker.consume(from, 200)).await.unwrap();
        loop {
            let batch = match timeout(Duration::from_secs(2), consumer.next_batch(50)).await {
                Ok(Ok(batch)) => batch,
                Ok(Err(Error::Lost(_))) => break,
                Ok(Err(error)) => panic!("ended with {error}"),
                Err(_) if seen.len() == MESSAGES => return seen,
                Err(_) => continue,
            };
            seen.extend(
                bodies(&batch)
                    .iter()
                    .map(|body| body.parse::<usize>().unwrap()),
            );
            for delivery in batch {
                delivery.ack();
            }
            if cuts < CUTS && seen.len() > (cuts + 1) * MESSAGES / (CUTS + 2) {
                cuts += 1;
                cut(broker, proxy).await;
                becomes(broker, |status| *status == Status::Up).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_queue_is_new_after_a_reconnect() {
    let proxy = Proxy::start().await;
    let broker = amqp::connect(&options(proxy.url(), "faults")).unwrap();
    let fixture = Fixture::new(broker, |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let (prefix, exchange) = (fixture.name("private."), fixture.name("fanout"));
        let from = Source::Private {
            prefix,
            exchange,
            declare_exchange: true,
        };
        let mut first = fixture.consume_from(from.clone(), 10).await;
        proxy.cut();
        let end = soon(first.next_batch(1)).await.unwrap_err();
        assert!(matches!(end, Error::Lost(_)), "{end}");
        let mut second = fixture.consume_from(from, 10).await;
        assert_ne!(first.queue(), second.queue());
        let told = numbered(second.queue(), 0..1);
        becomes(&*fixture.broker, |status| *status == Status::Up).await;
        assert_eq!(
            soon(fixture.broker.publish(told)).await,
            [Published::Confirmed]
        );
        assert_eq!(bodies(&take(&mut *second, 1).await), ["0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_queue_is_deleted_ends_and_finds_it_missing() {
    let fixture = Fixture::new(broker("faults"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("deleted").await;
        soon(fixture.broker.publish(numbered(&queue, 0..10))).await;
        let mut consumer = fixture.consume(&queue, 5).await;
        let held = take(&mut *consumer, 3).await;
        let (connection, channel) = stranger().await;
        let options = QueueDeleteOptions::default();
        channel
            .queue_delete(queue.as_str().into(), options)
            .await
            .unwrap();
        let (_, end) = take_all(&mut *consumer).await;
        assert!(matches!(end, Error::Lost(_) | Error::Missing(_)), "{end}");
        for delivery in held {
            delivery.ack();
        }
        let again = soon(fixture.broker.consume(Source::Queue(queue.clone()), 5)).await;
        assert_eq!(again.err(), Some(Error::Missing(queue.clone())));
        let fates = soon(fixture.broker.publish(numbered(&queue, 0..2))).await;
        assert_eq!(fates, [Published::Unroutable; 2]);
        connection.close(200, "done".into()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_no_exchange_costs_its_channel_and_not_the_next_messages() {
    let fixture = Fixture::new(broker("faults"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("after").await;
        for _ in 0..3 {
            let mut astray = message(&queue, "astray");
            astray.exchange = fixture.name("no-exchange");
            assert_eq!(
                soon(fixture.broker.publish(vec![astray.clone()])).await,
                [Published::Unknown]
            );
            soon(fixture.broker.send(vec![astray])).await;
            let fates = soon(fixture.broker.publish(numbered(&queue, 0..10))).await;
            assert_eq!(fates, [Published::Confirmed; 10]);
        }
        assert_eq!(*fixture.broker.status().borrow(), Status::Up);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_waits_for_a_broker_that_is_away() {
    let proxy = Proxy::start().await;
    let broker = amqp::connect(&options(proxy.url(), "faults")).unwrap();
    let fixture = Fixture::new(broker, |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("wait").await;
        cut(&*fixture.broker, &proxy).await;
        let mut consumer = fixture.consume(&queue, 1).await;
        publish_all(&*fixture.broker, numbered(&queue, 0..1)).await;
        assert_eq!(bodies(&take(&mut *consumer, 1).await), ["0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_blocks_publishing_waits_and_consuming_goes_on() {
    let proxy = Proxy::start().await;
    let broker = amqp::connect(&options(proxy.url(), "faults")).unwrap();
    let fixture = Fixture::new(Arc::clone(&broker), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("blocked").await;
        soon(broker.publish(numbered(&queue, 0..10))).await;
        proxy.say(BLOCKED);
        becomes(&*broker, |status| *status == Status::Blocked).await;
        let late = broker.publish(numbered(&queue, 10..11));
        tokio::pin!(late);
        // A hint is dropped rather than kept.
        soon(broker.send(numbered(&queue, 99..100))).await;
        let mut consumer = fixture.consume(&queue, 5).await;
        for _ in 0..2 {
            for delivery in take(&mut *consumer, 5).await {
                delivery.ack();
            }
        }
        let early = timeout(Duration::from_millis(200), &mut late).await;
        assert!(early.is_err(), "published while blocked: {early:?}");
        proxy.say(UNBLOCKED);
        assert_eq!(soon(late).await, [Published::Confirmed]);
        becomes(&*broker, |status| *status == Status::Up).await;
        assert_eq!(bodies(&take(&mut *consumer, 1).await), ["10"]);
    })
    .await;
}
