//! A way to a service that a test can cut.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Forwards connections to a service until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    /// Cancelled while the way is cut.
    cut: Arc<Mutex<CancellationToken>>,
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
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, cut.clone()));
        Self {
            url: url.into(),
            cut,
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

    /// Lets new connections through again.
    pub fn heal(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = CancellationToken::new();
    }
}

async fn accept(listener: TcpListener, target: (String, u16), cut: Arc<Mutex<CancellationToken>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let life = cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let target = target.clone();
        connections.spawn(life.run_until_cancelled_owned(async move {
            // Whichever side goes, the other notices.
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        }));
    }
}
