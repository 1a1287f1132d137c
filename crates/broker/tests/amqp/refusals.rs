//! What the broker refuses, and in which words we say so.

use clerkwork_broker::conformance::{Fixture, message, numbered, run, soon, take, work};
use clerkwork_broker::{Error, Published, Status, amqp};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use url::Url;

use crate::support::{becomes, broker, delete, options, stranger, url};

#[tokio::test]
async fn a_wrong_password_is_told_in_words_without_the_password() {
    let mut address = Url::parse(&url()).unwrap();
    address.set_password(Some("not-the-secret")).unwrap();
    let words = refused(address.as_str()).await;
    assert!(
        words.contains("ACCESS_REFUSED") && !words.contains("not-the-secret"),
        "{words}"
    );
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_told_in_words() {
    let mut address = Url::parse(&url()).unwrap();
    address.set_path("/there-is-no-such-host");
    let words = refused(address.as_str()).await;
    assert!(words.contains("there-is-no-such-host"), "{words}");
}

#[tokio::test]
async fn a_port_on_which_nobody_listens_is_away_and_not_refused() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("amqp://{}", free.local_addr().unwrap());
    drop(free);
    let options = options(&address, "refusals");
    assert!(matches!(amqp::check(&options).await, Err(Error::Away(_))));
    let broker = amqp::connect(&options).unwrap();
    assert_eq!(
        soon(broker.publish(numbered("q", 0..2))).await,
        [Published::NotSent; 2]
    );
    assert!(matches!(soon(broker.look("q")).await, Err(Error::Away(_))));
    soon(broker.send(numbered("q", 0..1))).await;
    soon(broker.close()).await;
}

#[tokio::test]
async fn the_right_address_passes_the_check() {
    assert_eq!(amqp::check(&options(&url(), "refusals")).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_what_is_too_much() {
    let fixture = Fixture::new(broker("refusals"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.name("full");
        let (connection, channel) = stranger().await;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(3));
        let overflow = AMQPValue::LongString(LongString::from("reject-publish"));
        arguments.insert("x-overflow".into(), overflow);
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), options, arguments)
            .await
            .unwrap();
        let fates = soon(fixture.broker.publish(numbered(&queue, 0..20))).await;
        assert_eq!(fates[0], Published::Confirmed);
        assert_eq!(fates[10..], [Published::Refused; 10]);
        connection.close(200, "done".into()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_not_ours_cannot_be_claimed() {
    let fixture = Fixture::new(broker("refusals"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = fixture.work("user").await;
        let user = fixture.broker.user();
        let [own, forged] = [user.as_str(), "somebody"].map(|name| {
            let mut message = message(&queue, name);
            message.envelope.user_id = Some(name.to_owned());
            message
        });
        assert_eq!(
            soon(fixture.broker.publish(vec![forged])).await,
            [Published::Unknown]
        );
        assert_eq!(
            soon(fixture.broker.publish(vec![own])).await,
            [Published::Confirmed]
        );
        let mut consumer = fixture.consume(&queue, 10).await;
        let taken = take(&mut *consumer, 1).await;
        assert_eq!(taken[0].envelope.user_id.as_deref(), Some(user.as_str()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classic_queue_is_a_mismatch_where_a_quorum_queue_is_wanted() {
    let fixture = Fixture::new(broker("refusals"), |names| Box::pin(delete(names)));
    run(fixture, |fixture| async move {
        let queue = work(&fixture.name("type"));
        let classic = amqp::Options {
            queue_type: amqp::QueueType::Classic,
            ..options(&url(), "refusals classic")
        };
        let other = amqp::connect(&classic).unwrap();
        becomes(&*other, |status| *status == Status::Up).await;
        soon(other.declare(&queue)).await.unwrap();
        let Err(Error::Mismatch { detail, .. }) = soon(fixture.broker.declare(&queue)).await else {
            panic!("a quorum queue was declared over a classic one")
        };
        assert!(detail.contains("inequivalent arg 'x-"), "{detail}");
        assert!(
            soon(other.look(&queue.name)).await.unwrap().is_some(),
            "it was deleted"
        );
        soon(other.close()).await;
    })
    .await;
}

/// The words of the status at an address that the broker refuses.
async fn refused(address: &str) -> String {
    let options = options(address, "refusals");
    let checked = amqp::check(&options).await;
    assert!(matches!(checked, Err(Error::Forbidden(_))), "{checked:?}");
    let broker = amqp::connect(&options).unwrap();
    let told = |status: &Status| matches!(status, Status::Down(words) if words != "connecting");
    let Status::Down(words) = becomes(&*broker, told).await else {
        panic!("it is not down")
    };
    soon(broker.close()).await;
    words
}
