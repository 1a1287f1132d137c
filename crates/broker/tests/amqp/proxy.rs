//! A proxy in front of the broker, whose connections can be cut.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support;

/// Forwards to the broker until it is dropped.
pub(crate) struct Proxy {
    url: String,
    life: Arc<Mutex<CancellationToken>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let mut url = Url::parse(&support::url()).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let target = (host, url.port().unwrap_or(5672));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let life = Arc::new(Mutex::new(CancellationToken::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, Arc::clone(&life)));
        Self {
            url: url.into(),
            life,
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
}

async fn accept(listener: TcpListener, target: (String, u16), life: Arc<Mutex<CancellationToken>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let (target, life) = (target.clone(), life.lock().unwrap().clone());
        connections.spawn(async move {
            let mut far = TcpStream::connect(target).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            tokio::select! {
                () = life.cancelled() => {}
                _ = copy_bidirectional(&mut near, &mut far) => {}
            }
        });
    }
}
