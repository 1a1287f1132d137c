//! Delivery limits: what comes back again and again is a dead letter, and an older limit is no mismatch.

use clerkwork_broker::conformance::{Fixture, message, run, soon, take, work};
use clerkwork_broker::{Error, Queue};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::support::{broker, delete, stranger};

/// Makes a queue of jobs as an older version did, with one more argument.
async fn make_old(queue: &Queue, more: Option<(&str, i64)>) {
    let (connection, channel) = stranger().await;
    let mut arguments = FieldTable::default();
    let dead = queue.dead_letters.clone().unwrap_or_default();
    let texts = [
        ("x-queue-type", "quorum"),
        ("x-overflow", "reject-publish"),
        ("x-queue-leader-locator", "balanced"),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", &dead),
    ];
    for (name, text) in texts {
        let text = AMQPValue::LongString(LongString::from(text));
        arguments.insert(name.into(), text);
    }
    for (name, number) in [("x-delivery-limit", 1_000)].into_iter().chain(more) {
        arguments.insert(name.into(), AMQPValue::LongLongInt(number));
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let name = queue.name.as_str().into();
    let made = channel.queue_declare(name, options, arguments).await;
    made.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_an_older_delivery_limit_is_used_as_it_is() {
    let fixture = Fixture::new(broker("limits"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let dead_letters = Some(fixture.work("dead").await);
        let [old, other, new] = ["old", "other", "new"].map(|name| Queue {
            dead_letters: dead_letters.clone(),
            ..work(&fixture.name(name))
        });
        make_old(&old, None).await;
        make_old(&other, Some(("x-max-length", 7))).await;
        for queue in [&old, &new, &old, &new] {
            let declared = soon(fixture.broker.declare(queue)).await;
            assert!(declared.is_ok(), "{declared:?}");
        }
        let refused = soon(fixture.broker.declare(&other)).await;
        let Err(Error::Mismatch { detail, .. }) = refused else {
            panic!("a bounded queue was taken: {refused:?}");
        };
        assert!(detail.contains("x-max-length"), "{detail}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_comes_back_too_often_is_a_dead_letter_and_a_reply_is_not() {
    let fixture = Fixture::new(broker("limits"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let dead = fixture.work("dead").await;
        let jobs = Queue {
            dead_letters: Some(dead.clone()),
            ..work(&fixture.name("jobs"))
        };
        let replies = Queue {
            name: fixture.name("replies"),
            kind: clerkwork_broker::QueueKind::Replies,
            ..jobs.clone()
        };
        for queue in [&jobs, &replies] {
            soon(fixture.broker.declare(queue)).await.unwrap();
            soon(fixture.broker.publish(vec![message(&queue.name, "poison")])).await;
            // The first delivery and as many returns as the limit is.
            for _ in 0..=20 {
                let mut consumer = fixture.consume(&queue.name, 1).await;
                drop(take(&mut *consumer, 1).await);
            }
        }
        let mut consumer = fixture.consume(&dead, 10).await;
        let letters = take(&mut *consumer, 1).await;
        let text = |name| letters[0].envelope.headers.text(name);
        assert_eq!(text("x-first-death-reason"), Some("delivery_limit"));
        assert_eq!(text("x-first-death-queue"), Some(&*jobs.name));
        let mut consumer = fixture.consume(&replies.name, 1).await;
        assert_eq!(take(&mut *consumer, 1).await.len(), 1, "the reply is there");
    })
    .await;
}
