//! A way to a service that a test can cut.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Everything, one byte at a time.
    Sliced,
    /// Everything, but one byte of whatever comes at a time is another one.
    Changed,
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
    /// How many bytes were changed.
    changed: Arc<AtomicUsize>,
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
        let changed = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        let rules = Rules {
            way: way.subscribe(),
            changed: Arc::clone(&changed),
        };
        accepting.spawn(accept(listener, target, cut.clone(), rules));
        Self {
            url: url.into(),
            cut,
            way,
            changed,
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

    /// How many bytes were changed so far.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.changed.load(Ordering::Relaxed)
    }

    /// Lets everything through again, and new connections.
    pub fn heal(&self) {
        self.set(Way::Open);
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = CancellationToken::new();
    }
}

/// What the connections of a way go by.
#[derive(Clone, Debug)]
struct Rules {
    way: watch::Receiver<Way>,
    changed: Arc<AtomicUsize>,
}

async fn accept(
    listener: TcpListener,
    target: (String, u16),
    cut: Arc<Mutex<CancellationToken>>,
    rules: Rules,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let life = cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (target, rules) = (target.clone(), rules.clone());
        connections.spawn(life.run_until_cancelled_owned(async move {
            // Whichever side goes, the other notices.
            if let Ok(far) = TcpStream::connect(target).await {
                let _ = carry(near, far, rules).await;
            }
        }));
    }
}

async fn carry(near: TcpStream, far: TcpStream, rules: Rules) -> io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    let requests = pump(from_near, to_far, rules.clone(), |way| {
        !matches!(way, Way::RequestsLost | Way::Silent)
    });
    let answers = pump(from_far, to_near, rules, |way| {
        !matches!(way, Way::AnswersLost | Way::Silent)
    });
    tokio::try_join!(requests, answers).map(drop)
}

/// Carries bytes one way until there are no more.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut rules: Rules,
    passes: fn(Way) -> bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let bytes = &mut buffer[..read];
        // An error says that the proxy is gone, and this task with it.
        let way = rules.way.wait_for(|way| passes(*way)).await;
        let way = way.map(|way| *way).unwrap_or_default();
        if read == 0 {
            return to.shutdown().await;
        }
        match way {
            Way::Slow(delay) => sleep(delay).await,
            Way::Sliced => {
                for byte in bytes {
                    to.write_all(&[*byte]).await?;
                }
                continue;
            }
            Way::Changed => {
                let changed = rules.changed.fetch_add(1, Ordering::Relaxed);
                bytes[changed.wrapping_mul(7_919) % read] ^= 1 << (changed % 8);
            }
            Way::Open | Way::RequestsLost | Way::AnswersLost | Way::Silent => {}
        }
        to.write_all(bytes).await?;
    }
}
