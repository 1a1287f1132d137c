//! The broker of all, which lives on its own, and the connections of the nodes to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use clerkwork_broker::{Broker, Consumer, Delivery, Settle, Settler, Status, memory};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::dice;
use crate::world::{Sky, lock};

/// The broker of all.
#[derive(Debug)]
pub(crate) struct Post {
    office: Mutex<Arc<dyn Broker>>,
    links: Mutex<Links>,
}

/// Who is connected, or would be.
#[derive(Debug, Default)]
struct Links {
    all: Vec<Weak<Link>>,
    /// How many causes keep the broker away from everybody.
    away: u32,
}

impl Post {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            office: Mutex::new(memory::broker()),
            links: Mutex::default(),
        })
    }

    /// The broker as it is now.
    pub(crate) fn office(&self) -> Arc<dyn Broker> {
        lock(&self.office).clone()
    }

    /// The connections of a node that starts, which are none while the broker is away.
    pub(crate) fn connect(&self) -> Arc<Link> {
        let link = Arc::new(Link::default());
        let mut links = lock(&self.links);
        (0..links.away).for_each(|_| link.lose());
        links.all.push(Arc::downgrade(&link));
        link
    }

    /// Everybody loses the broker, also whoever starts from now on.
    pub(crate) fn go_away(&self) {
        let mut links = lock(&self.links);
        links.away += 1;
        links.live().for_each(|link| link.lose());
    }

    /// One cause less keeps it away.
    pub(crate) fn come_back(&self) {
        let mut links = lock(&self.links);
        links.away -= 1;
        links.live().for_each(|link| link.restore());
    }

    /// It takes no publishes, or takes them again.
    pub(crate) fn block(&self, blocked: bool) {
        let links = lock(&self.links);
        links.live().for_each(|link| link.block(blocked));
    }

    /// Loses all that it has, its queues too.
    pub(crate) async fn burn(&self) {
        let old = std::mem::replace(&mut *lock(&self.office), memory::broker());
        old.close().await;
    }
}

impl Links {
    fn live(&self) -> impl Iterator<Item = Arc<Link>> {
        self.all.iter().filter_map(Weak::upgrade)
    }
}

/// One node's connections, which are lost together and come back.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// How many causes keep them away.
    away: AtomicU32,
    /// Until when what is connected now stays so.
    epoch: Mutex<CancellationToken>,
    status: Mutex<Told>,
    /// Somebody may connect, or publish, again.
    better: Notify,
    chairs: Mutex<Vec<Weak<Chair>>>,
}

/// What is told of the connections. Everybody has a channel of their own: who shares one is woken in an
/// order that nobody decides.
#[derive(Debug)]
struct Told {
    now: Status,
    all: Vec<watch::Sender<Status>>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            now: Status::Up,
            all: Vec::new(),
        }
    }
}

/// Where a consumer of the real broker sits while nobody waits for its deliveries, so that it can be taken
/// away with its connection.
pub(crate) struct Chair(Mutex<Option<Box<dyn Consumer>>>);

impl std::fmt::Debug for Chair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chair")
    }
}

impl Link {
    /// The life of the present connections.
    pub(crate) fn epoch(&self) -> CancellationToken {
        lock(&self.epoch).clone()
    }

    /// Whether there are any.
    pub(crate) fn is_up(&self) -> bool {
        self.away.load(Ordering::Relaxed) == 0
    }

    /// How they are.
    pub(crate) fn now(&self) -> Status {
        lock(&self.status).now.clone()
    }

    /// Tells whenever that changes.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        let mut told = lock(&self.status);
        let (teller, heard) = watch::channel(told.now.clone());
        told.all.push(teller);
        heard
    }

    /// Waits until they may be better than they were.
    pub(crate) async fn better(&self) {
        self.better.notified().await;
    }

    /// They are lost, and stay away until this is taken back.
    pub(crate) fn lose(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.epoch)).cancel();
        let chairs = std::mem::take(&mut *lock(&self.chairs));
        for chair in chairs.iter().filter_map(Weak::upgrade) {
            drop(lock(&chair.0).take());
        }
        self.tell(Status::Down("lost".to_owned()));
    }

    /// One cause less keeps them away.
    pub(crate) fn restore(&self) {
        if self.away.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tell(Status::Up);
        }
    }

    /// Nothing can be published, or it can be again.
    pub(crate) fn block(&self, blocked: bool) {
        if self.is_up() {
            self.tell(if blocked { Status::Blocked } else { Status::Up });
        }
    }

    /// They are lost soon, for a while.
    pub(crate) fn doom(self: &Arc<Self>) {
        let link = self.clone();
        tokio::spawn(async move {
            dice::pass(dice::millis(0..20)).await;
            link.lose();
            dice::pass(dice::millis(1..2_000)).await;
            link.restore();
        });
    }

    fn tell(&self, status: Status) {
        let mut told = lock(&self.status);
        told.now = status;
        let now = told.now.clone();
        told.all.retain(|teller| teller.receiver_count() > 0);
        for teller in &told.all {
            teller.send_replace(now.clone());
        }
        drop(told);
        self.better.notify_waiters();
    }

    /// Seats a consumer on the present connection.
    pub(crate) fn seat(&self, consumer: Box<dyn Consumer>) -> Arc<Chair> {
        let chair = Arc::new(Chair(Mutex::new(Some(consumer))));
        let mut chairs = lock(&self.chairs);
        chairs.retain(|chair| chair.strong_count() > 0);
        chairs.push(Arc::downgrade(&chair));
        chair
    }
}

/// A consumer that somebody works with; it sits down again when they are done.
pub(crate) struct Risen<'a> {
    chair: &'a Chair,
    epoch: &'a CancellationToken,
    consumer: Option<Box<dyn Consumer>>,
}

impl Chair {
    /// The consumer, if its connection is still there.
    pub(crate) fn rise<'a>(&'a self, epoch: &'a CancellationToken) -> Option<Risen<'a>> {
        let consumer = Some(lock(&self.0).take()?);
        Some(Risen {
            chair: self,
            epoch,
            consumer,
        })
    }
}

impl Risen<'_> {
    pub(crate) fn consumer(&mut self) -> Option<&mut Box<dyn Consumer>> {
        self.consumer.as_mut()
    }
}

impl Drop for Risen<'_> {
    fn drop(&mut self) {
        if !self.epoch.is_cancelled() {
            *lock(&self.chair.0) = self.consumer.take();
        }
    }
}

/// Settles deliveries as long as the connection lives on which they came.
#[derive(Debug)]
pub(crate) struct Counter {
    link: Arc<Link>,
    epoch: CancellationToken,
    /// Under which acknowledgements may be lost with the connection, if they may.
    sky: Option<Arc<Sky>>,
    open: Mutex<BTreeMap<u64, Delivery>>,
    next: AtomicU64,
}

impl Counter {
    pub(crate) fn new(
        link: &Arc<Link>,
        epoch: &CancellationToken,
        sky: Option<Arc<Sky>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link: link.clone(),
            epoch: epoch.clone(),
            sky,
            open: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    /// The deliveries as the node gets them.
    pub(crate) fn hand_on(self: &Arc<Self>, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut open = lock(&self.open);
        let passed = deliveries.into_iter().map(|delivery| {
            let tag = self.next.fetch_add(1, Ordering::Relaxed);
            let (envelope, redelivered) = (delivery.envelope.clone(), delivery.redelivered);
            open.insert(tag, delivery);
            Delivery::new(envelope, redelivered, tag, self.clone() as Arc<dyn Settler>)
        });
        passed.collect()
    }
}

impl Settler for Counter {
    fn settle(&self, tag: u64, how: Settle) {
        let Some(delivery) = lock(&self.open).remove(&tag) else {
            return;
        };
        if self.epoch.is_cancelled() {
            return;
        }
        let lost = self.sky.as_ref().map_or(0.0, |sky| sky.now().acks_lost);
        if dice::odds(lost) {
            self.link.doom();
            return;
        }
        match how {
            Settle::Ack => delivery.ack(),
            Settle::Requeue => delivery.requeue(),
        }
    }
}
