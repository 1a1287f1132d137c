//! A way to a service that a test can cut.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What a way lets through. What it does not is held back, as TCP sends it again, until it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Everything.
    #[default]
    Open,
    /// Everything, so much later.
    Slow(Duration),
    /// Only what the service sends.
    RequestsLost,
    /// Only what is sent to the service.
    AnswersLost,
    /// Nothing; connections stand.
    Silent,
}

/// Forwards connections to a service until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    /// Cancelled while the way is cut.
    cut: Arc<Mutex<CancellationToken>>,
    way: watch::Sender<Way>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Opens a way to the service of this URL.
    ///
    /// # Panics
    /// When it is no URL with a port, or there is no free port.
    pub async fn start(service: &str) -> Self {
        let mut url = Url::parse(service).expect("a service has a URL");
        let host = url.host_str().unwrap_or_default().to_owned();
        let target = (host, url.port().expect("a service has a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        url.set_host(Some("127.0.0.1"))
            .expect("an address is a host");
        url.set_port(Some(address.port()))
            .expect("the URL has a port");
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let way = watch::Sender::new(Way::Open);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, cut.clone(), way.subscribe()));
        Self {
            url: url.into(),
            cut,
            way,
            _accepting: accepting,
        }
    }

    /// The service's URL by this way.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all connections, and each new one at once.
    pub fn cut(&self) {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.cancel();
    }

    /// Changes what comes through on connections that stand and on new ones.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Lets everything through again, and new connections.
    pub fn heal(&self) {
        self.set(Way::Open);
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = CancellationToken::new();
    }
}

async fn accept(
    listener: TcpListener,
    target: (String, u16),
    cut: Arc<Mutex<CancellationToken>>,
    way: watch::Receiver<Way>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let life = cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (target, way) = (target.clone(), way.clone());
        connections.spawn(life.run_until_cancelled_owned(async move {
            // Whichever side goes, the other notices.
            if let Ok(far) = TcpStream::connect(target).await {
                let _ = carry(near, far, way).await;
            }
        }));
    }
}

async fn carry(near: TcpStream, far: TcpStream, way: watch::Receiver<Way>) -> io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    let requests = pump(from_near, to_far, way.clone(), |way| {
        !matches!(way, Way::RequestsLost | Way::Silent)
    });
    let answers = pump(from_far, to_near, way, |way| {
        !matches!(way, Way::AnswersLost | Way::Silent)
    });
    tokio::try_join!(requests, answers).map(drop)
}

/// Carries bytes one way until there are no more.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    passes: fn(Way) -> bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        // An error says that the proxy is gone, and this task with it.
        let now = way.wait_for(|way| passes(*way)).await;
        let now = now.map(|way| *way).unwrap_or_default();
        if let Way::Slow(delay) = now {
            sleep(delay).await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..read]).await?;
    }
}
