//! A clerk with its router, and a plain worker for it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use clerkwork_broker::{Broker, Envelope, Message, Published, Source, memory};
use clerkwork_clerk::{Clerk, Config, http};
use clerkwork_core::{ApiKey, Role, UnixMs};
use clerkwork_store::{KnownKey, Store, sqlite};
use clerkwork_wire::Names;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// No test waits longer than this for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A clerk that knows the queue `q`.
pub(crate) struct Office {
    pub(crate) clerk: Clerk,
    pub(crate) router: Router,
    pub(crate) broker: Arc<dyn Broker>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Ends with the test.
pub(crate) struct Worker(JoinHandle<()>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks again and again until the answer fits, and returns it.
pub(crate) async fn repeat(
    what: &str,
    ask: impl AsyncFn() -> Told,
    fits: impl Fn(&Told) -> bool,
) -> Told {
    let fitting = async {
        loop {
            let told = ask().await;
            if fits(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(LIMIT, fitting).await;
    found.unwrap_or_else(|_| panic!("{what} never came to what was waited for"))
}

impl Office {
    pub(crate) async fn open() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(sqlite::memory().await.unwrap(), change).await
    }

    /// A clerk with this store.
    pub(crate) async fn over(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            queues: vec!["q".parse().unwrap()],
            grace: Duration::from_secs(5),
            ..Config::default()
        };
        change(&mut config);
        let broker = memory::broker();
        let queues = config.queues.clone();
        let clerk = Clerk::start(config, store, broker.clone()).await.unwrap();
        for queue in &queues {
            clerk.desk().queues.declare(queue).await.unwrap();
        }
        let router = http::router(clerk.desk());
        Self {
            clerk,
            router,
            broker,
        }
    }

    /// Waits until the clerk knows as many consumers of `q`: then new jobs go out directly.
    pub(crate) async fn is_served_by(&self, workers: usize) {
        let (desk, queue) = (self.clerk.desk(), "q".parse().unwrap());
        let known = async {
            while desk.queues.workers(&queue) < workers {
                tokio::time::sleep(Duration::from_millis(20)).await;
                desk.queues.look_for_workers(std::iter::once(&queue)).await;
            }
        };
        tokio::time::timeout(LIMIT, known).await.unwrap();
    }

    /// A worker that knows nothing of us: it answers each job of `q` with what `make` makes of it.
    pub(crate) fn work(&self, make: impl Fn(Bytes) -> Envelope + Send + 'static) -> Worker {
        let broker = self.broker.clone();
        let from = Source::Queue(Names::new(&Config::default().prefix).jobs("q"));
        Worker(tokio::spawn(async move {
            let mut consumer = broker.consume(from, 10).await.unwrap();
            while let Ok(deliveries) = consumer.next_batch(10).await {
                for delivery in deliveries {
                    let job = delivery.envelope.clone();
                    let envelope = Envelope {
                        correlation_id: job.correlation_id,
                        ..make(job.body)
                    };
                    let message = Message {
                        exchange: String::new(),
                        key: job.reply_to.unwrap(),
                        durable: true,
                        envelope,
                    };
                    confirmed(&*broker, message).await;
                    delivery.ack();
                }
            }
        }))
    }

    /// A worker whose output is its input.
    pub(crate) fn echo(&self) -> Worker {
        self.work(|body| Envelope {
            content_type: Some("application/json".to_owned()),
            body,
            ..Envelope::default()
        })
    }

    /// A key of this tenant.
    pub(crate) async fn key(&self, tenant: &str, role: Role, queues: &[&str]) -> ApiKey {
        let key = ApiKey::random();
        let known = KnownKey {
            queues: queues.iter().map(|name| name.parse().unwrap()).collect(),
            ..KnownKey::new(&key, tenant.parse().unwrap(), role, UnixMs(1))
        };
        let desk = self.clerk.desk();
        assert!(desk.store.add_key(&known).await.unwrap());
        // Whoever uses the first key makes keys needed at once; the others learn it in seconds.
        let used = async || {
            let used = with_key(request("GET", "/v1/jobs", ""), &key.reveal());
            self.send(used).await
        };
        // On a busy machine a key may not be found in time.
        let told = repeat("a key", used, |told| told.status != 503).await;
        assert_eq!(told.status, 200);
        key
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Told {
        let answer = self.router.clone().oneshot(request);
        let response = tokio::time::timeout(LIMIT, answer).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let told = Told {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        told.check();
        told
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.send(request("GET", path, "")).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str) -> Told {
        self.send(request(method, path, "")).await
    }

    pub(crate) async fn submit(&self, body: &str) -> Told {
        self.send(submission(body).body(Body::from(body.to_owned())).unwrap())
            .await
    }

    /// Asks again and again until the answer fits, and returns it.
    pub(crate) async fn until(&self, path: &str, fits: impl Fn(&Told) -> bool) -> Told {
        repeat(path, async || self.get(path).await, fits).await
    }

    /// The job once it has this status.
    pub(crate) async fn comes_to(&self, id: &str, status: &str) -> Value {
        let path = format!("/v1/jobs/{id}");
        let told = self.until(&path, |told| told.json()["status"] == status);
        told.await.json()
    }

    /// Until somebody waits here.
    pub(crate) async fn somebody_waits(&self) {
        self.waiters(|count| count > 0).await;
    }

    /// Until nobody waits here any more.
    pub(crate) async fn nobody_waits(&self) {
        self.waiters(|count| count == 0).await;
    }

    /// Until as many wait here.
    pub(crate) async fn waiters(&self, fits: impl Fn(usize) -> bool) {
        let desk = self.clerk.desk();
        let look = async {
            while !fits(desk.waiters.len()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.unwrap();
    }

    /// Submits a job to `q` and returns its id.
    pub(crate) async fn job(&self) -> String {
        let told = self.submit(r#"{"queue":"q","input":1}"#).await;
        assert_eq!(told.status, 202);
        told.id()
    }
}

/// Publishes once there is a queue for it: a clerk that has just started still declares some.
pub(crate) async fn confirmed(broker: &dyn Broker, message: Message) {
    let publish = async {
        while broker.publish(vec![message.clone()]).await != [Published::Confirmed] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, publish).await.unwrap();
}

/// A request without a media type.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    builder.body(Body::from(body.to_owned())).unwrap()
}

/// The request with a key.
pub(crate) fn with_key(request: Request<Body>, key: &str) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {key}"))
}

/// The request with one more header.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// The beginning of a submission of JSON.
pub(crate) fn submission(body: &str) -> axum::http::request::Builder {
    Request::post("/v1/jobs")
        .header("content-type", "application/json")
        .header("content-length", body.len())
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or("")
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// The end of the problem's URI, or nothing.
    pub(crate) fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or("").to_owned();
        kind.trim_start_matches("urn:clerkwork:problem:").to_owned()
    }

    /// The pointers of all errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let pointer = |error: &Value| error["pointer"].as_str().unwrap().to_owned();
        errors.iter().map(pointer).collect()
    }

    /// Checks the headers that every answer has.
    fn check(&self) {
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
        let id = self.header("request-id");
        assert_eq!(id.len(), 36, "{self:?}");
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(
                self.header("content-type"),
                "application/problem+json",
                "{self:?}"
            );
            if !self.body.is_empty() {
                let problem = self.json();
                assert_eq!(problem["status"], self.status.as_u16());
                assert_eq!(problem["instance"], format!("urn:uuid:{id}"));
                assert!(problem["title"].is_string());
                let unfit = self.problem() == "invalid-request";
                assert!(!unfit || !self.pointers().is_empty(), "{self:?}");
            }
        }
    }
}
