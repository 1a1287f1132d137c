//! The ways from each clerk and worker to the servers, which can be cut one by one.

use clerkwork_tests::{Proxy, Services, Way};
use std::time::Duration;

/// One process's way to one server, by the process's place among clerks and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    ClerkBroker(usize),
    ClerkStore(usize),
    WorkerBroker(usize),
}

/// What is wrong with a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Nothing comes through.
    Silent,
    /// What the process sends does not come through.
    RequestsLost,
    /// What the server sends does not.
    AnswersLost,
    /// Connections are ended, and new ones as well.
    Reset,
    /// Everything takes so many milliseconds longer.
    Slow(u64),
}

/// The ways of a fleet.
#[derive(Debug)]
pub(crate) struct Links {
    clerks: Vec<Ways>,
    workers: Vec<Ways>,
}

/// The ways of one process.
#[derive(Debug)]
struct Ways {
    broker: Proxy,
    store: Proxy,
}

impl Links {
    /// Ways for so many clerks and workers to a store and a broker.
    pub(crate) async fn open(clerks: usize, workers: usize, store: &str, broker: &str) -> Self {
        let mut links = Self {
            clerks: Vec::new(),
            workers: Vec::new(),
        };
        for _ in 0..clerks {
            links.clerks.push(Ways::open(store, broker).await);
        }
        for _ in 0..workers {
            links.workers.push(Ways::open(store, broker).await);
        }
        links
    }

    /// Where a clerk finds the servers.
    pub(crate) fn of_clerk(&self, index: usize) -> Services {
        self.clerks[index].services()
    }

    /// Where a worker does.
    pub(crate) fn of_worker(&self, index: usize) -> Services {
        self.workers[index].services()
    }

    pub(crate) fn cut(&self, link: Link, how: Break) {
        let way = self.way(link);
        match how {
            Break::Silent => way.set(Way::Silent),
            Break::RequestsLost => way.set(Way::RequestsLost),
            Break::AnswersLost => way.set(Way::AnswersLost),
            Break::Slow(ms) => way.set(Way::Slow(Duration::from_millis(ms))),
            Break::Reset => way.cut(),
        }
    }

    /// Mends a way; what was held back comes through.
    pub(crate) fn mend(&self, link: Link) {
        self.way(link).heal();
    }

    fn way(&self, link: Link) -> &Proxy {
        match link {
            Link::ClerkBroker(index) => &self.clerks[index].broker,
            Link::ClerkStore(index) => &self.clerks[index].store,
            Link::WorkerBroker(index) => &self.workers[index].broker,
        }
    }
}

impl Ways {
    async fn open(store: &str, broker: &str) -> Self {
        Self {
            broker: Proxy::start(broker).await,
            store: Proxy::start(store).await,
        }
    }

    fn services(&self) -> Services {
        Services {
            postgres: self.store.url().to_owned(),
            rabbit: self.broker.url().to_owned(),
        }
    }
}
