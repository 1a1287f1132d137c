//! The ways from each clerk and worker to the servers, which can be cut one by one.

use std::time::Duration;

use clerkwork_tests::{Proxy, Services, Way};

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

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    /// A clerk's way to a broker that sends everything back.
    async fn echo() -> (Links, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = client.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let (store, broker) = (
            format!("postgres://me@127.0.0.1:{port}/one"),
            format!("amqp://me@127.0.0.1:{port}/%2F"),
        );
        let links = Links::open(1, 0, &store, &broker).await;
        let url = Url::parse(&links.of_clerk(0).rabbit).unwrap();
        let clerk = TcpStream::connect(("127.0.0.1", url.port().unwrap())).await;
        (links, clerk.unwrap())
    }

    #[tokio::test]
    async fn what_a_broken_way_holds_back_comes_once_it_is_mended() {
        let link = Link::ClerkBroker(0);
        for how in [Break::Silent, Break::RequestsLost, Break::AnswersLost] {
            let (links, mut clerk) = echo().await;
            links.cut(link, how);
            clerk.write_all(b"hello").await.unwrap();
            let mut bytes = [0; 5];
            let early = timeout(SHORT, clerk.read_exact(&mut bytes)).await;
            assert!(early.is_err(), "{how:?} lets something through");
            links.mend(link);
            clerk.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"hello");
        }
    }

    #[tokio::test]
    async fn a_slow_way_is_slow_and_a_reset_one_ends() {
        let link = Link::ClerkBroker(0);
        let (links, mut clerk) = echo().await;
        links.cut(link, Break::Slow(100));
        let began = Instant::now();
        clerk.write_all(b"hello").await.unwrap();
        let mut bytes = [0; 5];
        clerk.read_exact(&mut bytes).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(200));
        links.cut(link, Break::Reset);
        let end = timeout(Duration::from_secs(10), clerk.read(&mut bytes)).await;
        assert!(matches!(end.unwrap(), Ok(0) | Err(_)));
    }
}
