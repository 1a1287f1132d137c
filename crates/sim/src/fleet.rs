//! The nodes: clerks and workers, each with a clock, a way to the store and connections of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use clerkwork_broker::{Broker, Delivery, Queue, QueueKind, Source};
use clerkwork_clerk::{Clerk, Config, http};
use clerkwork_store::Store;
use clerkwork_wire::Names;
use clerkwork_worker::{Options, Worker};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker;
use crate::dice;
use crate::post::{Link, Post};
use crate::road::Road;
use crate::time::{Under, Wall, under};
use crate::work::{self, Stage};
use crate::world::{Life, Sky, World, lock};

/// The queues that there are; each worker serves one.
pub(crate) const QUEUES: [&str; 2] = ["a", "b"];

/// How long a purge waits for what is on a queue already.
const AT_ONCE: Duration = Duration::from_millis(1);
/// A queue without jobs that the broker has with other arguments.
const ODD: &str = "odd";

/// All nodes, and what they share.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) world: Arc<World>,
    pub(crate) post: Arc<Post>,
    store: Arc<dyn Store>,
    pub(crate) clerks: Vec<Node<Office>>,
    pub(crate) workers: Vec<Node<Bench>>,
    lease: Duration,
    window: u32,
}

/// One machine and what runs on it.
#[derive(Debug)]
pub(crate) struct Node<T> {
    pub(crate) name: Arc<str>,
    pub(crate) wall: Arc<Wall>,
    pub(crate) sky: Arc<Sky>,
    running: Mutex<Option<Running<T>>>,
    /// How often it was started.
    lives: AtomicUsize,
}

/// What runs on a machine.
#[derive(Debug)]
struct Running<T> {
    life: Life,
    link: Arc<Link>,
    what: T,
}

/// A clerk.
#[derive(Debug)]
pub(crate) struct Office {
    router: Router,
    clerk: Clerk,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Bench {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl<T> Node<T> {
    fn new(name: String, world: &World) -> Self {
        Self {
            name: name.into(),
            wall: Wall::new(world.begun),
            sky: Arc::default(),
            running: Mutex::new(None),
            lives: AtomicUsize::new(0),
        }
    }

    /// Whether something runs on it.
    pub(crate) fn is_alive(&self) -> bool {
        lock(&self.running).is_some()
    }

    /// Its connections, if something runs on it.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        lock(&self.running).as_ref().map(|on| on.link.clone())
    }

    /// Kills what runs on it; says whether there was anything. The broker may notice late.
    pub(crate) fn crash(&self, world: &World) -> bool {
        let Some(running) = lock(&self.running).take() else {
            return false;
        };
        world.note(format_args!("{} crashes", self.name));
        running.life.end();
        let link = running.link.clone();
        let noticed = match dice::odds(0.3) {
            true => dice::millis(100..20_000),
            false => dice::millis(0..5),
        };
        tokio::spawn(async move {
            dice::pass(noticed).await;
            link.lose();
        });
        drop(running.what);
        true
    }
}

impl Fleet {
    pub(crate) fn new(
        world: &Arc<World>,
        store: Arc<dyn Store>,
        clerks: usize,
        workers: usize,
    ) -> Arc<Self> {
        let clerks = (1..=clerks).map(|n| Node::new(format!("clerk{n}"), world));
        let workers = (1..=workers).map(|n| Node::new(format!("worker{n}"), world));
        Arc::new(Self {
            world: world.clone(),
            post: Post::new(),
            store,
            clerks: clerks.collect(),
            workers: workers.collect(),
            lease: Duration::from_secs(dice::number(6..15)),
            window: match dice::odds(0.5) {
                true => 2_000,
                false => u32::try_from(dice::number(2..12)).unwrap_or(2),
            },
        })
    }

    /// The router of a clerk that is there, and its life.
    pub(crate) fn router(&self, clerk: usize) -> Option<(Router, Life)> {
        let running = lock(&self.clerks[clerk].running);
        let on = running.as_ref()?;
        Some((on.what.router.clone(), on.life.clone()))
    }

    /// The skies of all nodes.
    pub(crate) fn skies(&self) -> impl Iterator<Item = &Arc<Sky>> {
        let clerks = self.clerks.iter().map(|node| &node.sky);
        clerks.chain(self.workers.iter().map(|node| &node.sky))
    }

    /// Makes the queue that no clerk can declare, as a stranger would.
    pub(crate) async fn make_odd(&self) {
        let odd = Queue {
            name: Names::new(&Config::default().prefix).jobs(ODD),
            kind: QueueKind::Hints,
            exchange: None,
            dead_letters: None,
        };
        // The broker in memory refuses nothing that is new.
        let _ = self.post.office().declare(&odd).await;
    }

    /// Starts a clerk, as often as it takes.
    pub(crate) async fn start_clerk(&self, at: usize) {
        let node = &self.clerks[at];
        if node.is_alive() {
            return;
        }
        loop {
            let (life, link) = (Life::default(), self.post.connect());
            let road = Road {
                world: self.world.clone(),
                node: node.name.clone(),
                life: life.clone(),
                sky: node.sky.clone(),
            };
            let store = clerkwork_faulty::over(road, self.store.clone());
            let broker = self.broker(node, &life, &link);
            let config = Config {
                name: node.name.to_string(),
                queues: QUEUES
                    .iter()
                    .chain([&ODD])
                    .filter_map(|name| name.parse().ok())
                    .collect(),
                lease: self.lease,
                window: self.window,
                grace: Duration::from_secs(5),
                ..Config::default()
            };
            match Under::new(&node.wall, Clerk::start(config, store, broker)).await {
                Ok(clerk) => {
                    self.world.note(format_args!("{} has started", node.name));
                    node.lives.fetch_add(1, Ordering::Relaxed);
                    let router = http::router(clerk.desk());
                    let what = Office { router, clerk };
                    *lock(&node.running) = Some(Running { life, link, what });
                    return;
                }
                Err(error) => {
                    self.world
                        .note(format_args!("{} does not start: {error}", node.name));
                    life.end();
                    dice::pass(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Lets a clerk end in good order; says whether there was one.
    pub(crate) async fn drain_clerk(&self, at: usize) -> bool {
        let node = &self.clerks[at];
        let Some(running) = lock(&node.running).take() else {
            return false;
        };
        self.world.note(format_args!("{} drains", node.name));
        running.what.clerk.shut_down().await;
        running.life.end();
        running.link.lose();
        self.world.note(format_args!("{} has drained", node.name));
        true
    }

    /// Drops what waits on the queues of jobs, of which the broker tells nobody.
    pub(crate) async fn purge(&self) {
        let office = self.post.office();
        let names = Names::new(&Config::default().prefix);
        for queue in QUEUES {
            let from = Source::Queue(names.jobs(queue));
            // What is not declared yet holds nothing.
            let Ok(mut thief) = office.consume(from, u16::MAX).await else {
                continue;
            };
            let taken = tokio::time::timeout(AT_ONCE, thief.next_batch(usize::MAX)).await;
            if let Ok(Ok(waiting)) = taken {
                waiting.into_iter().for_each(Delivery::ack);
            }
        }
    }

    /// Starts a worker, which serves the queue of its place.
    pub(crate) fn start_worker(&self, at: usize) {
        let node = &self.workers[at];
        if node.is_alive() {
            return;
        }
        let (life, link) = (Life::default(), self.post.connect());
        let broker = self.broker(node, &life, &link);
        let life_number = node.lives.fetch_add(1, Ordering::Relaxed);
        let stage = Stage {
            world: self.world.clone(),
            worker: format!("{}.{life_number}", node.name).into(),
        };
        let stop = CancellationToken::new();
        let worker = under(&node.wall, || Worker::new(stage))
            .queue(QUEUES[at % QUEUES.len()], work::run)
            .concurrency(3)
            .options(Options {
                heartbeat: dice::millis(500..3_000),
                hold_after: Duration::from_secs(4),
                grace: Duration::from_secs(4),
                ..Options::default()
            });
        let running = worker.run(broker, stop.clone());
        let world = self.world.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = running.await {
                world.wrong(format!("a worker was set wrongly: {error}"));
            }
        });
        self.world.note(format_args!("{} has started", node.name));
        let what = Bench { stop, task };
        *lock(&node.running) = Some(Running { life, link, what });
    }

    /// Lets a worker end in good order; says whether there was one.
    pub(crate) async fn drain_worker(&self, at: usize) -> bool {
        let node = &self.workers[at];
        let Some(mut running) = lock(&node.running).take() else {
            return false;
        };
        self.world.note(format_args!("{} drains", node.name));
        running.what.stop.cancel();
        // It ends by itself; a panic ends it too.
        let _ = (&mut running.what.task).await;
        running.life.end();
        running.link.lose();
        self.world.note(format_args!("{} has drained", node.name));
        true
    }

    fn broker<T>(&self, node: &Node<T>, life: &Life, link: &Arc<Link>) -> Arc<dyn Broker> {
        broker::at(&node.name, &self.world, life, &node.sky, &self.post, link)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}
