//! Brokers under faults: the suite for a caller that tries again, and one that is spared nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clerkwork_broker::conformance::{Fixture, PATIENCE, bodies, numbered};
use clerkwork_broker::{
    Broker, Consumer, Declared, Delivery, Depth, Error, Message, Published, Queue, Source, Status,
};
use clerkwork_faulty::{Care, Plan, remote_broker};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What the suite cannot bear, in one place: it counts what comes and in which order, so nothing may come
/// twice or again, which the claim below bears; hints may be lost; and whether a queue is new is told once.
const CARE: Care = Care {
    spared: &["send", "deliver", "settle"],
    told: &["publish", "declare"],
    sessions_last: true,
    wait: Duration::from_millis(4),
};

/// How often a call is made again; a broker that was closed stays away.
const TRIES: usize = 20;

/// A caller that tries again.
#[derive(Debug)]
struct Patient(Arc<dyn Broker>);

fn patient(inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
    let plan = Plan::with(12, 0.1, CARE);
    plan.begin();
    Arc::new(Patient(remote_broker(&plan, inner)))
}

macro_rules! again {
    ($call:expr) => {{
        let mut tries = 0;
        loop {
            tries += 1;
            match $call.await {
                Err(Error::Away(_)) if tries < TRIES => {}
                answer => break answer,
            }
        }
    }};
}

#[async_trait]
impl Broker for Patient {
    async fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        again!(self.0.declare(queue))
    }

    async fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        again!(self.0.declare_fanout(exchange))
    }

    async fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        again!(self.0.look(queue))
    }

    async fn delete(&self, queue: &str) -> Result<bool, Error> {
        again!(self.0.delete(queue))
    }

    async fn purge(&self, queue: &str) -> Result<u64, Error> {
        again!(self.0.purge(queue))
    }

    async fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        let mut tries = 0;
        loop {
            tries += 1;
            let fates = self.0.publish(messages.clone()).await;
            let nowhere =
                |fate: &Published| matches!(fate, Published::NotSent | Published::Unknown);
            if tries == TRIES || messages.is_empty() || !fates.iter().all(nowhere) {
                return fates;
            }
        }
    }

    async fn send(&self, messages: Vec<Message>) {
        self.0.send(messages).await;
    }

    async fn consume(&self, from: Source, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        self.0.consume(from, prefetch).await
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.0.status()
    }

    fn user(&self) -> String {
        self.0.user()
    }

    fn in_process(&self) -> bool {
        self.0.in_process()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// As clerks and workers do it: what is not confirmed is published again, what is lost is consumed anew.
async fn what_is_published_until_it_is_confirmed_comes_until_it_is_settled(fixture: &Fixture) {
    const COUNT: usize = 300;
    let care = Care {
        wait: CARE.wait,
        ..Care::default()
    };
    let plan = Plan::with(13, 0.2, care);
    let broker = remote_broker(&plan, fixture.broker.clone());
    let queue = fixture.work("again").await;
    plan.begin();
    let publish = async {
        for at in (0..COUNT).step_by(3) {
            let mut left = numbered(&queue, at..at + 3);
            while !left.is_empty() {
                let fates = broker.publish(left.clone()).await;
                let mut fates = fates.into_iter();
                left.retain(|_| fates.next() != Some(Published::Confirmed));
            }
        }
    };
    let consume = async {
        let (mut seen, mut settled) = (BTreeSet::new(), false);
        while !settled {
            let from = Source::Queue(queue.clone());
            let mut consumer = broker.consume(from, 10).await.unwrap();
            // What is unsettled comes again with the next channel, so the last of it has none to wait for.
            while let Ok(batch) = timeout(QUIET, consumer.next_batch(4)).await {
                let Ok(batch) = batch else { break };
                seen.extend(bodies(&batch));
                batch.into_iter().for_each(Delivery::ack);
            }
            drop(consumer);
            settled = seen.len() == COUNT && left_without_consumers(fixture, &queue).await == 0;
        }
        seen
    };
    let both = async { tokio::join!(publish, consume) };
    let ((), seen) = timeout(PATIENCE * 4, both).await.unwrap();
    assert_eq!(seen.len(), COUNT);
    assert!(plan.fired() > 20, "{} faults", plan.fired());
}

/// The messages of a queue once its last consumer is gone, which takes the broker a moment.
async fn left_without_consumers(fixture: &Fixture, queue: &str) -> u64 {
    loop {
        let depth = fixture.broker.look(queue).await.unwrap().unwrap();
        if depth.consumers == 0 {
            return depth.ready;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// So long nothing comes where all has come.
const QUIET: Duration = Duration::from_millis(500);

mod memory {
    use clerkwork_broker::conformance::{Fixture, run};
    use clerkwork_broker::memory;

    clerkwork_broker::broker_conformance!(fixture());

    fn fixture() -> Fixture {
        // Its queues go with it.
        Fixture::new(super::patient(memory::broker()), |_| Box::pin(async {}))
    }

    #[tokio::test]
    async fn what_is_published_until_it_is_confirmed_comes_until_it_is_settled() {
        let fixture = Fixture::new(memory::broker(), |_| Box::pin(async {}));
        run(fixture, async |fixture| {
            super::what_is_published_until_it_is_confirmed_comes_until_it_is_settled(&fixture)
                .await;
        })
        .await;
    }
}

mod rabbit {
    use clerkwork_broker::conformance::{Fixture, run};

    use crate::amqp;

    clerkwork_broker::broker_conformance!(fixture());

    fn fixture() -> Fixture {
        let broker = super::patient(amqp::broker("conformance under faults"));
        Fixture::new(broker, |names| Box::pin(amqp::delete(names)))
    }

    #[tokio::test]
    async fn what_is_published_until_it_is_confirmed_comes_until_it_is_settled() {
        let broker = amqp::broker("under faults");
        let fixture = Fixture::new(broker, |names| Box::pin(amqp::delete(names)));
        run(fixture, async |fixture| {
            super::what_is_published_until_it_is_confirmed_comes_until_it_is_settled(&fixture)
                .await;
        })
        .await;
    }
}
