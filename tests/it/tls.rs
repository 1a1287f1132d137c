//! TLS: a certificate of the system's authorities for the right name, or no connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerkwork_core::{JobObject, Status, WebhookStatus};
use clerkwork_tests::{Api, Authority, Kind, Process, System, claims, clerkwork, eventually};
use reqwest::Url;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::start::refused;

claims! {
    a_webhook_by_https_goes_to_who_is_trusted_under_the_name_in_the_url_and_to_nobody_else,
}

/// The longest wait until the note of a job says why no worker can start it.
const NOTED: Duration = Duration::from_secs(120);

/// Longer than an attempt takes.
const SENT: Duration = Duration::from_secs(60);

/// A plain HTTP server that answers everything with `{}` and counts it.
struct Plain {
    address: String,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Plain {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let count = count.clone();
                tokio::spawn(async move {
                    answer(client).await;
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Reads one request, and answers it.
async fn answer(mut client: TcpStream) {
    let mut bytes = Vec::new();
    loop {
        assert!(client.read_buf(&mut bytes).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.is_none_or(|length| length.parse() == Ok(body.len())) {
            break;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    client.write_all(answer).await.unwrap();
    client.shutdown().await.unwrap();
}

async fn tried(api: &Api, job: &JobObject, fits: impl Fn(WebhookStatus, u32) -> bool) -> JobObject {
    eventually("the webhook is sent", SENT, async || {
        let job = api.job(job.id).await;
        let webhook = job.webhook.as_ref().unwrap();
        fits(webhook.status, webhook.attempts).then_some(job)
    })
    .await
}

async fn a_webhook_by_https_goes_to_who_is_trusted_under_the_name_in_the_url_and_to_nobody_else(
    kind: Kind,
) {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let system = kind
        .plan()
        .command("echo", 1, &["cat"])
        .clerk_setting("webhook-allow", "127.0.0.0/8")
        .variable("SSL_CERT_FILE", trusted.file())
        .start()
        .await;
    let api = system.api();
    let (receiver, canary) = (Plain::open().await, Plain::open().await);
    let good = trusted.before(&receiver.address, "localhost").await;
    // All of these are at the address that is checked and called.
    let misnamed = trusted.before(&canary.address, "other.test").await;
    let foreign = stranger.before(&canary.address, "localhost").await;
    let bare = trusted.before(&canary.address, "localhost").await;
    let submit = async |url: String| {
        let job = json!({"queue": "echo", "input": 1, "webhook": url});
        api.submit(&job).await
    };
    let told = submit(format!("https://localhost:{}/hook", good.port)).await;
    let mut untold = Vec::new();
    for url in [
        format!("https://localhost:{}/hook", misnamed.port),
        format!("https://localhost:{}/hook", foreign.port),
        format!("https://127.0.0.1:{}/hook", bare.port),
    ] {
        untold.push(submit(url).await);
    }
    tried(&api, &told, |status, _| status == WebhookStatus::Delivered).await;
    for job in untold {
        let webhook = tried(&api, &job, |_, attempts| attempts > 0).await.webhook;
        let webhook = webhook.unwrap();
        assert_eq!(
            (webhook.status, webhook.last_status),
            (WebhookStatus::Pending, None)
        );
    }
    assert_eq!((receiver.asked(), canary.asked()), (1, 0));
}

/// A worker that calls the service at this URL for the queue.
async fn worker(system: &System, queue: &str, url: &str) -> Process {
    let mut worker = Command::new(clerkwork());
    worker.args(["worker", "--queue", queue, "--http", url]);
    let mut worker = system.run("http-worker", worker);
    worker.line_with(queue).await;
    worker
}

#[tokio::test]
async fn a_service_by_https_is_called_where_it_is_trusted_under_its_name_and_not_else() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let plan = Kind::Fleet.plan().clerks(1);
    let plan = plan.queue("good").queue("misnamed").queue("foreign");
    let plan = plan.variable("SSL_CERT_FILE", trusted.file());
    let system = plan.start().await;
    let (service, canary) = (Plain::open().await, Plain::open().await);
    let good = trusted.before(&service.address, "localhost").await;
    let misnamed = trusted.before(&canary.address, "other.test").await;
    let foreign = stranger.before(&canary.address, "localhost").await;
    let api = system.api();
    for (queue, server) in [
        ("good", &good),
        ("misnamed", &misnamed),
        ("foreign", &foreign),
    ] {
        let url = format!("https://localhost:{}/", server.port);
        let _worker = worker(&system, queue, &url).await;
        let job = json!({"queue": queue, "input": 1, "max_attempts": 1});
        let job = api.submit(&job).await;
        if queue == "good" {
            assert_eq!(api.ended(&job).await.status, Status::Succeeded);
            continue;
        }
        // Nothing was sent, so the job waits for a worker that can start it.
        eventually("its note says why", NOTED, async || {
            let note = api.job(job.id).await.note?;
            note.contains("certificate").then_some(())
        })
        .await;
    }
    assert_eq!((service.asked(), canary.asked()), (1, 0));
}

/// The URL of a service behind TLS, and where the service itself is.
pub(crate) fn behind(url: &str, usual: u16) -> (Url, String) {
    let url = Url::parse(url).unwrap();
    let plain = format!(
        "{}:{}",
        url.host_str().unwrap(),
        url.port().unwrap_or(usual)
    );
    (url, plain)
}

/// The same URL at another port of this machine, under the name that certificates have.
pub(crate) fn at(mut url: Url, port: u16) -> Url {
    url.set_host(Some("localhost")).unwrap();
    url.set_port(Some(port)).unwrap();
    url
}

#[tokio::test]
async fn store_and_broker_are_used_by_tls_where_their_certificates_fit_and_refused_where_not() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let plan = Kind::Fleet.plan().clerks(0).queue("q");
    let system = plan.variable("SSL_CERT_FILE", trusted.file()).start().await;
    let (mut store, plain) = behind(&system.store(), 5432);
    store.set_query(Some("sslmode=verify-full"));
    let good_store = trusted.before_postgres(&plain, "localhost").await;
    let bad_stores = [
        trusted.before_postgres(&plain, "other.test").await,
        stranger.before_postgres(&plain, "localhost").await,
    ];
    let rabbit = clerkwork_tests::Services::shared().rabbit;
    let (mut broker, plain) = behind(&rabbit, 5672);
    broker.set_scheme("amqps").unwrap();
    let good_broker = trusted.before(&plain, "localhost").await;
    let bad_brokers = [
        trusted.before(&plain, "other.test").await,
        stranger.before(&plain, "localhost").await,
    ];
    let clerk = |store_port, broker_port| {
        let mut clerk = system.program(&["clerk", "--listen", "127.0.0.1:0", "--queues", "q"]);
        clerk
            .args(["--start-timeout", "2s", "--store"])
            .arg(at(store.clone(), store_port).as_str())
            .arg("--broker")
            .arg(at(broker.clone(), broker_port).as_str());
        clerk
    };
    for bad in bad_stores {
        let (code, said) = refused(clerk(bad.port, good_broker.port)).await;
        assert_eq!(code, 1);
        assert!(
            said.contains("certificate") && said.contains("PostgreSQL"),
            "{said}"
        );
    }
    for bad in bad_brokers {
        let (code, said) = refused(clerk(good_store.port, bad.port)).await;
        assert_eq!(code, 1);
        assert!(
            said.contains("certificate") && said.contains("broker"),
            "{said}"
        );
    }
    let clerk = clerk(good_store.port, good_broker.port);
    let mut clerk = system.run("clerk", clerk);
    let line = clerk.line_with("http://").await;
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let api = Api::new(address.unwrap());
    let broker = at(broker.clone(), good_broker.port);
    let mut worker = system.program(&["worker", "--queue", "q", "--broker", broker.as_str()]);
    worker.args(["--", "cat"]);
    let mut worker = system.run("worker", worker);
    worker.line_with("q").await;
    assert_eq!(api.run("q", json!(1)).await.status, Status::Succeeded);
}
