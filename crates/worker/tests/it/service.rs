//! An HTTP service of a test, and a fleet of one worker that calls it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use clerkwork_broker::memory;
use clerkwork_core::event;
use clerkwork_worker::{Options, Service, Worker};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::shop::Shop;
use crate::support::{Clerk, PATIENCE, Submission, Working, job, options};

/// A request as the service got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The answers of the service, by request.
type Answers = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

/// The service, the worker that calls it, and the clerk.
pub(crate) struct Called {
    pub(crate) shop: Shop,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Called {
    pub(crate) async fn open(answers: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        Self::with(answers, options("x")).await
    }

    pub(crate) async fn with(
        answers: impl Fn(&Asked) -> Response + Send + Sync + 'static,
        options: Options,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jobs?of=me", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen): (Answers, _) = (Arc::new(answers), Arc::clone(&asked));
        let router = Router::new().fallback(answer).with_state((answers, seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let shop = shop(&url, options).await;
        Self { shop, asked }
    }

    /// The requests that the service got so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) async fn run(&mut self, input: &str) -> event::Reply {
        self.shop.run(input.to_owned()).await
    }

    /// Hands a job over and does not wait for its outcome.
    pub(crate) async fn begin(&mut self) -> Submission {
        let submission = job(&self.shop.clerk.names, "{}");
        self.shop.publish(&submission).await;
        submission
    }
}

/// A fleet of one worker that calls the service at `url`.
pub(crate) async fn shop(url: &str, options: Options) -> Shop {
    shop_of(url, options, 4).await
}

/// One that calls it for so many jobs at a time.
pub(crate) async fn shop_of(url: &str, options: Options, concurrency: usize) -> Shop {
    let broker = memory::broker();
    let mut clerk = Clerk::new(broker.clone(), "x", &["q"]).await;
    let worker = Worker::new(())
        .service("q", &Service::new(url).unwrap())
        .concurrency(concurrency)
        .options(options);
    let working = Working::start(worker, &broker);
    clerk.greeted().await;
    Shop { clerk, working }
}

async fn answer(
    State((answers, asked)): State<(Answers, Arc<Mutex<Vec<Asked>>>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Asked {
        method,
        uri,
        headers,
        body,
    };
    asked.lock().unwrap().push(request.clone());
    answers(&request)
}

/// An answer with this status, these headers and this body.
pub(crate) fn said(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// An answer of events, in these pieces.
pub(crate) fn streamed(pieces: &[&str]) -> Response {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Ok::<_, Infallible>(Bytes::from((*piece).to_owned())))
        .collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    said(
        200,
        &[("content-type", "text/event-stream; charset=utf-8")],
        body,
    )
}

/// An answer whose body begins and does not end; `Gone` tells when its connection is closed.
pub(crate) fn endless(begin: &'static str, content_type: &str) -> (Response, Gone) {
    let (held, gone) = mpsc::channel::<()>(1);
    let begin =
        futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(begin.as_bytes()))]);
    let rest = futures_util::stream::unfold(held, |held| async move {
        std::future::pending::<()>().await;
        Some((Ok(Bytes::new()), held))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(begin, rest));
    (
        said(200, &[("content-type", content_type)], body),
        Gone(gone),
    )
}

/// Tells when the connection of an endless answer is closed.
pub(crate) struct Gone(mpsc::Receiver<()>);

impl Gone {
    pub(crate) async fn wait(mut self) {
        assert_eq!(timeout(PATIENCE, self.0.recv()).await, Ok(None));
    }
}

/// A wait that is short, and long enough for a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(3);
