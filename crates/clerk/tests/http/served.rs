//! A clerk that listens: for what only raw connections show.

use std::net::SocketAddr;
use std::time::Duration;

use clerkwork_clerk::{Config, http};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::Office;

pub(crate) struct Served {
    pub(crate) office: Office,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub(crate) async fn open() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::of(Office::with(change).await).await
    }

    /// Of this router.
    pub(crate) async fn of(office: Office) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = office.router.clone();
        let grace = Duration::from_secs(5);
        let served = tokio::spawn(http::serve(listener, router, stop.clone(), grace));
        Self {
            office,
            address,
            stop,
            served,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}
