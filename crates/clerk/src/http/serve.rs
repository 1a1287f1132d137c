//! The accept loop: connections with limits on all that a client could draw out, and a drain.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use axum::response::IntoResponse as _;
use clerkwork_core::{Clock as _, JobId, SystemClock};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::http::connections::{ClientAddress, Connections};
use crate::http::half_close::SharedStream;
use crate::http::problem::{Kind, Problem};
use crate::http::request_body::RequestBody;
use crate::http::respond;
use crate::http::socket::{Phase, Socket};
use crate::http::takeover::{Slot, Takeover};

/// The most connections too many that are told so at a time, of the files that are kept free.
const REFUSALS: usize = 64;
/// The longest time for telling one of them.
const REFUSAL: Duration = Duration::from_secs(5);
/// The longest time that a connection may be idle: longer than the minute that proxies usually keep one, so
/// that it is they who close it.
const IDLE: Duration = Duration::from_secs(75);
/// The time for which idle connections stay open in a drain: a request that is on its way is still answered.
const LINGER: Duration = Duration::from_millis(500);
/// The pause after a failed accept, such as when there are no file descriptors left.
const BREATH: Duration = Duration::from_millis(50);

const LONGEST_URL: usize = 8 * 1024;
const LARGEST_HEADERS: usize = 16 * 1024;
/// The most bytes of a head that are read, so that what is too long can still be told apart.
const LARGEST_HEAD: usize = 96 * 1024;
const BUFFER: usize = 128 * 1024;

/// Serves until `stop`, then drains: no new connections, an answer to every request that is held or
/// on its way, with `Connection: close`. Returns when all connections are finished or `grace` is
/// over.
///
/// # Errors
/// Nothing can be accepted from the listener any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    let server = Arc::new(Server {
        http: http(),
        router,
        stop,
        close: CancellationToken::new(),
        connections: Connections::of_process(),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
    });
    let mut connections = JoinSet::new();
    let accepted = accept(&listener, &server, &mut connections).await;
    // Whoever is in the queue of the listener has been told that it is connected.
    while let Some(Ok((stream, from))) = listener.accept().now_or_never() {
        server.admit(&mut connections, stream, from);
    }
    drop(listener);
    drain(&server, connections, grace).await;
    accepted
}

async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    connections: &mut JoinSet<()>,
) -> io::Result<()> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.stop.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => server.admit(connections, stream, from),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::select! {
                    () = server.stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(BREATH) => {}
                }
            }
        }
    }
}

async fn drain(server: &Server, mut connections: JoinSet<()>, grace: Duration) {
    let end = tokio::time::Instant::now() + grace;
    let linger = LINGER.min(grace);
    // Time-outs are the expected end of both waits.
    let _ = tokio::time::timeout(linger, all_of(&mut connections)).await;
    server.close.cancel();
    let _ = tokio::time::timeout_at(end, all_of(&mut connections)).await;
    if !connections.is_empty() {
        tracing::warn!(connections = connections.len(), "connections were cut off");
    }
    connections.shutdown().await;
}

async fn all_of(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// The state that all connections share.
#[derive(Debug)]
struct Server {
    http: http1::Builder,
    router: Router,
    /// The drain begins: answers close their connection.
    stop: CancellationToken,
    /// Idle connections close.
    close: CancellationToken,
    connections: Connections,
    /// Connections too many that are being told so.
    refusals: Arc<Semaphore>,
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // A client that sends no more may still read: what it asked for is answered.
    http.half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(BUFFER);
    http
}

/// The answer to a client that is not let in, whatever it asks.
fn full() -> String {
    let detail = "there are too many connections, of your address or of all; nothing was done";
    let request = JobId::at(SystemClock::new().now());
    let body = Problem::because(Kind::Unavailable, detail).told(request);
    let body = body.get();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         request-id: {request}\r\nretry-after: 2\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Tells a client that it is not let in, and closes the connection in order: what it is still sending is read for a
/// moment, since closing while it sends would take its answer away.
async fn refuse(stream: TcpStream, close: CancellationToken) {
    let mut socket = Socket::new(stream);
    socket.phase().answered(true);
    let told = async {
        socket.write_all(full().as_bytes()).await?;
        socket.shutdown().await
    };
    // In a drain nobody is waited for, and a client that left needs no answer.
    let told = close.run_until_cancelled(timeout(REFUSAL, told)).await;
    tracing::debug!(?told, "a client was not let in");
}

/// Tells a client that it is not let in, and closes the connection; one that is still sending may lose its answer.
fn refuse_at_once(stream: TcpStream) {
    // Tokio would first wait to be told that it can be written to.
    let told = stream
        .into_std()
        .and_then(|mut stream| io::Write::write(&mut stream, full().as_bytes()));
    tracing::debug!(?told, "a client was not let in");
}

impl Server {
    /// Serves a connection, or tells its client where there are too many.
    fn admit(self: &Arc<Self>, connections: &mut JoinSet<()>, stream: TcpStream, from: SocketAddr) {
        let Some(admitted) = self.connections.admit(from.ip()) else {
            tracing::debug!(%from, "a connection too many");
            match self.refusals.clone().try_acquire_owned() {
                Ok(turn) => {
                    let refused = refuse(stream, self.close.clone());
                    connections.spawn(async move {
                        refused.await;
                        drop(turn);
                    });
                }
                // Where there are too many of these, too, it is told and closed at once.
                Err(_) => refuse_at_once(stream),
            }
            return;
        };
        let served = self.clone().connection(stream, ClientAddress(from.ip()));
        connections.spawn(async move {
            served.await;
            drop(admitted);
        });
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, from: ClientAddress) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the client left before it was served");
            return;
        }
        let stream = SharedStream::new(stream);
        let half_close = stream.half_close();
        let socket = Socket::new(stream);
        let phase = socket.phase();
        let takeover = Slot::default();
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(half_close.clone());
            request.extensions_mut().insert(from);
            self.answer(&phase, &takeover, request)
        });
        let connection = self.http.serve_connection(TokioIo::new(socket), service);
        let mut connection = connection.with_upgrades();
        let mut connection = Pin::new(&mut connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.close.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        } else if let Some(rest) = takeover.take() {
            rest.await;
        }
    }

    async fn answer(
        &self,
        phase: &Phase,
        takeover: &Slot,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        phase.busy();
        let (request, body) = RequestBody::of(request);
        let mut response = match too_long(&request) {
            Some(problem) => finished(problem),
            None => self.route(request).await,
        };
        // What is taken over has its own limits, and stays busy to its end.
        if let Some(taken) = response.extensions_mut().remove::<Takeover>() {
            takeover.put(taken);
            return Ok(response);
        }
        let closes = response.headers().contains_key(CONNECTION);
        let is_read = body.has_ended() || (!closes && body.finish().await);
        if !is_read || self.stop.is_cancelled() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        phase.answered(!is_read);
        Ok(response)
    }

    /// Passes the request on; a bug that panics is an answer like any other.
    async fn route(&self, request: Request<RequestBody>) -> Response<Body> {
        let answer = self.router.clone().call(request.map(Body::new));
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Err(_) => {
                tracing::error!("a request met a bug and was answered with an internal error");
                finished(Problem::new(Kind::Internal))
            }
        }
    }
}

/// The problem of a head that is longer than allowed.
fn too_long(request: &Request<RequestBody>) -> Option<Problem> {
    let url = request
        .uri()
        .path_and_query()
        .map_or(0, |url| url.as_str().len());
    if url > LONGEST_URL {
        let detail = format!("the URL is longer than {LONGEST_URL} bytes");
        return Some(Problem::because(Kind::UriTooLong, detail));
    }
    let lines = request.headers().iter();
    // Each line has a colon, a space and its end beside name and value.
    let headers: usize = lines
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    (headers > LARGEST_HEADERS).then(|| {
        let detail = format!("the headers are larger than {LARGEST_HEADERS} bytes");
        Problem::because(Kind::HeadersTooLarge, detail)
    })
}

/// The answer with a problem that the router has not seen.
fn finished(problem: Problem) -> Response<Body> {
    respond::finish(&SystemClock::new(), problem.into_response())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::task::JoinHandle;

    use super::*;

    /// A server that lets one connection in, which it has, and the client of a second one.
    struct Full {
        stop: CancellationToken,
        serving: JoinHandle<()>,
        _first: TcpStream,
        second: TcpStream,
    }

    async fn full_server(refusals: usize) -> Full {
        let server = Arc::new(Server {
            http: http(),
            router: Router::new(),
            stop: CancellationToken::new(),
            close: CancellationToken::new(),
            connections: Connections::at_most(1),
            refusals: Arc::new(Semaphore::new(refusals)),
        });
        let stop = server.stop.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            accept(&listener, &server, &mut connections).await.unwrap();
        });
        Full {
            stop,
            serving,
            _first: TcpStream::connect(address).await.unwrap(),
            second: TcpStream::connect(address).await.unwrap(),
        }
    }

    impl Full {
        async fn end(self) {
            self.stop.cancel();
            self.serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_is_not_let_in_is_answered_while_it_sends() {
        let mut full = full_server(REFUSALS).await;
        let head = b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n";
        full.second.write_all(head).await.unwrap();
        // More than the buffers between the two take.
        for _ in 0..80 {
            full.second.write_all(&[b'x'; 100_000]).await.unwrap();
        }
        let mut answer = String::new();
        full.second.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("too many connections"), "{answer}");
        full.end().await;
    }

    #[tokio::test]
    async fn where_many_are_told_already_a_client_is_told_and_closed_at_once() {
        let mut full = full_server(0).await;
        let mut answer = String::new();
        full.second.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        full.end().await;
    }
}
