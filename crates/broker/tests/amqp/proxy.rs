//! A proxy in front of the broker: it can cut connections, and speak for the broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support;

/// `connection.blocked` with the reason `low`, and `connection.unblocked`, as frames.
pub(crate) const BLOCKED: &[u8] = b"\x01\0\0\0\0\0\x08\0\x0a\0\x3c\x03low\xce";
pub(crate) const UNBLOCKED: &[u8] = b"\x01\0\0\0\0\0\x04\0\x0a\0\x3d\xce";

/// The head of `connection.tune`, before the number of channels that the broker allows.
const TUNE: &[u8] = b"\0\x0a\0\x1e";

/// The words that only the connection that publishes says of itself at its beginning.
const PUBLISHES: &[u8] = b" publish";

/// The part of a queue's name by which its declarations and looks at it get no answer.
pub(crate) const UNANSWERED: &str = "unanswered-by-the-proxy";

/// Forwards to the broker until it is dropped.
pub(crate) struct Proxy {
    url: String,
    life: Arc<Mutex<CancellationToken>>,
    said: broadcast::Sender<&'static [u8]>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        Self::launch(None).await
    }

    /// One whose broker seems to allow so many channels on a connection.
    pub(crate) async fn allowing(channels: u16) -> Self {
        Self::launch(Some(channels)).await
    }

    async fn launch(channels: Option<u16>) -> Self {
        let mut url = Url::parse(&support::url()).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let target = (host, url.port().unwrap_or(5672));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let life = Arc::new(Mutex::new(CancellationToken::new()));
        let (said, _) = broadcast::channel(4);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(
            listener,
            target,
            Arc::clone(&life),
            said.clone(),
            channels,
        ));
        Self {
            url: url.into(),
            life,
            said,
            _accepting: accepting,
        }
    }

    /// The address of the broker behind it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        let mut life = self.life.lock().unwrap();
        life.cancel();
        *life = CancellationToken::new();
    }

    /// Says something to the connection that publishes, as if it were the broker; at a moment at
    /// which the broker itself says nothing.
    pub(crate) fn say(&self, frame: &'static [u8]) {
        self.said.send(frame).unwrap();
    }
}

async fn accept(
    listener: TcpListener,
    target: (String, u16),
    life: Arc<Mutex<CancellationToken>>,
    said: broadcast::Sender<&'static [u8]>,
    channels: Option<u16>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let (target, said) = (target.clone(), said.subscribe());
        let life = life.lock().unwrap().clone();
        connections.spawn(async move {
            let far = TcpStream::connect(target).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            let publishes = AtomicBool::new(false);
            tokio::select! {
                () = life.cancelled() => {}
                () = upstream(from_near, to_far, &publishes) => {}
                () = downstream(from_far, to_near, said, &publishes, channels) => {}
            }
        });
    }
}

async fn upstream(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, publishes: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    let mut before = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        if before < 2_000 && bytes.windows(PUBLISHES.len()).any(|part| part == PUBLISHES) {
            publishes.store(true, Ordering::Relaxed);
        }
        before += count;
        let unanswered = UNANSWERED.as_bytes();
        if bytes
            .windows(unanswered.len())
            .any(|part| part == unanswered)
        {
            continue;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn downstream(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut said: broadcast::Receiver<&'static [u8]>,
    publishes: &AtomicBool,
    mut channels: Option<u16>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let bytes = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    allow(&mut channels, &mut buffer[..count]);
                    &buffer[..count]
                }
                _ => return,
            },
            frame = said.recv() => match frame {
                Ok(frame) if publishes.load(Ordering::Relaxed) => frame,
                Ok(_) => continue,
                Err(_) => return,
            },
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Puts the number into the broker's `connection.tune`, once.
fn allow(channels: &mut Option<u16>, bytes: &mut [u8]) {
    let found = bytes.windows(TUNE.len()).position(|part| part == TUNE);
    if let Some(at) = found
        && let Some(number) = channels.take()
    {
        let at = at + TUNE.len();
        bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
    }
}
