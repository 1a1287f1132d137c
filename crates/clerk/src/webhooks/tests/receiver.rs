//! A receiver of webhooks.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::office::until;

/// How a receiver answers the request of this number.
type Answers = Arc<dyn Fn(usize) -> Response + Send + Sync>;

/// A receiver that remembers what it got; ends with the test.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    serving: JoinHandle<()>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
struct Shared {
    got: Arc<Mutex<Vec<Got>>>,
    answers: Answers,
}

impl Receiver {
    /// One on 127.0.0.1 that answers with what `answers` makes of the request's number, from 0.
    pub(super) async fn open(answers: impl Fn(usize) -> Response + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), answers).await
    }

    /// The same at an address, which may have been somebody else's a moment ago.
    pub(super) async fn at(
        address: SocketAddr,
        answers: impl Fn(usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = until(async || TcpListener::bind(address).await.ok()).await;
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            got: got.clone(),
            answers: Arc::new(answers),
        };
        let router = Router::new().fallback(take).with_state(shared);
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            got,
            serving,
        }
    }

    /// One that answers with this status.
    pub(super) async fn saying(status: u16) -> Self {
        Self::open(move |_| said(status)).await
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }

    /// The same under a name.
    pub(super) fn url_of(&self, name: &str) -> String {
        format!("http://{name}:{}/hook", self.address.port())
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An answer without a body.
pub(super) fn said(status: u16) -> Response {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .unwrap()
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let number = {
        let mut got = shared.got.lock().unwrap();
        got.push(Got {
            headers: parts.headers,
            body: body.to_vec(),
        });
        got.len() - 1
    };
    (shared.answers)(number)
}

/// A receiver that takes connections and never answers.
pub(super) struct Deaf {
    address: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
    taking: JoinHandle<()>,
}

impl Deaf {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Mutex::new(Vec::new()));
        let holds = held.clone();
        let taking = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                holds.lock().unwrap().push(connection);
            }
        });
        Self {
            address,
            held,
            taking,
        }
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{name}:{}/hook", self.address.port())
    }

    pub(super) fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// Until it holds so many connections.
    pub(super) async fn holds(&self, count: usize) {
        until(async || (self.held() == count).then_some(())).await;
    }

    /// Closes all connections, and the address is free again.
    pub(super) fn close(self) -> SocketAddr {
        self.address
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.taking.abort();
        self.held.lock().unwrap().clear();
    }
}

/// A receiver with which there is no connection: as many wait for it as may.
pub(super) struct Full {
    listener: TcpListener,
    waiting: Vec<JoinHandle<std::io::Result<TcpStream>>>,
}

impl Full {
    pub(super) async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || tokio::spawn(TcpStream::connect(address));
        let full = Self {
            waiting: (0..8).map(|_| connect()).collect(),
            listener,
        };
        // Those that found room are connected by now; the last one that did leaves none.
        until(async || {
            full.waiting
                .iter()
                .any(JoinHandle::is_finished)
                .then_some(())
        })
        .await;
        full
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.listener.local_addr().unwrap())
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.waiting.iter().for_each(JoinHandle::abort);
    }
}
