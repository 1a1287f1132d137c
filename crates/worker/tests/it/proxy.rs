//! A proxy in front of RabbitMQ that can cut connections and be away.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Forwards to the broker until it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// Of the connections that there are.
    life: CancellationToken,
    away: bool,
}

impl Proxy {
    pub(crate) async fn start(target: &str) -> Self {
        let mut url = Url::parse(target).unwrap();
        let to = (
            url.host_str().unwrap().to_owned(),
            url.port().unwrap_or(5672),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, to, Arc::clone(&state)));
        Self {
            url: url.into(),
            state,
            _accepting: accepting,
        }
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut self.state.lock().unwrap().life).cancel();
    }

    /// Sets whether the broker is away. What is connected stays so.
    pub(crate) fn set_away(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }
}

async fn accept(listener: TcpListener, to: (String, u16), state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let (life, away) = {
            let state = state.lock().unwrap();
            (state.life.clone(), state.away)
        };
        if away {
            continue;
        }
        let mut far = TcpStream::connect(&to).await.unwrap();
        connections.spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = life.cancelled() => {}
            }
        });
    }
}
