//! Replies of which the store refuses some, and which fails before the others are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use clerkwork_broker::{Message, Source};
use clerkwork_clerk::Config;
use clerkwork_core::{Failure, Reply, Retry};
use clerkwork_faulty::{Call, Way, over};
use clerkwork_store::{Error, sqlite};
use clerkwork_wire::{Names, v1};

use crate::support::{LIMIT, Office, Told, confirmed, submission};

/// A way on which one kind of call is refused at first, and fails after the first half of it was stored. From then on
/// jobs cannot be read: a client is told of the end of its job, or never hears of it.
#[derive(Clone, Debug)]
struct HalfWay {
    what: &'static str,
    calls: Arc<AtomicUsize>,
}

impl Way for HalfWay {
    async fn call<T, F>(&self, call: Call, work: impl Fn() -> F + Send + Sync) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        if call.what == "get" && self.calls.load(Ordering::Relaxed) > 0 {
            return std::future::pending().await;
        }
        if call.what != self.what {
            return work().await;
        }
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::Refused("some of it is refused".to_owned())),
            2 => Err(Error::Unavailable("it went away".to_owned())),
            _ => work().await,
        }
    }
}

/// The answers to two clients who wait for their jobs, whose replies come in one message.
async fn answers(what: &'static str, reply: Reply) -> [Told; 2] {
    let calls = Arc::default();
    let store = over(HalfWay { what, calls }, sqlite::memory().await.unwrap());
    let long = |config: &mut Config| config.wait_max = Duration::from_secs(600);
    let office = Office::over(store, long).await;
    let submit = async || {
        let request = submission(r#"{"queue":"q","input":1}"#).header("prefer", "wait=600");
        let request = request.body(Body::from(r#"{"queue":"q","input":1}"#));
        office.send(request.unwrap()).await
    };
    let answer = async {
        let from = Source::Queue(Names::new(&Config::default().prefix).jobs("q"));
        let mut consumer = office.broker.consume(from, 10).await.unwrap();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            let more = tokio::time::timeout(LIMIT, consumer.next_batch(10)).await;
            taken.extend(more.unwrap().unwrap());
        }
        let replies = taken.iter().map(|job| {
            let correlation = job.envelope.correlation_id.as_deref().unwrap();
            v1::Reply::new(correlation, reply.clone())
        });
        let message = Message {
            exchange: String::new(),
            key: taken[0].envelope.reply_to.clone().unwrap(),
            durable: true,
            envelope: v1::pack(replies.collect()),
        };
        confirmed(&*office.broker, message).await;
    };
    let (one, two, ()) = tokio::join!(submit(), submit(), answer);
    [one, two]
}

#[tokio::test]
async fn clients_hear_of_successes_stored_before_the_store_failed() {
    let output = b"2".as_slice().into();
    let media_type = "application/json".to_owned();
    for told in answers("succeed", Reply::Succeeded { media_type, output }).await {
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["output"], 2);
    }
}

#[tokio::test]
async fn clients_hear_of_failures_stored_before_the_store_failed() {
    let failure = Failure::new(Failure::HANDLER_ERROR, "it broke".to_owned(), 1);
    let retry = Retry::Never;
    for told in answers("apply", Reply::Failed { failure, retry }).await {
        assert_eq!(told.json()["status"], "failed", "{told:?}");
    }
}
