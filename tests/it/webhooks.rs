//! Webhooks: whoever was named is told how a job ended, and can tell that it was us.

use std::time::Duration;

use clerkwork_core::{JobObject, WebhookStatus};
use clerkwork_tests::{Api, Kind, Process, System, claims, eventually, python, repository};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

claims! {
    a_job_tells_its_end_to_a_receiver_that_verifies_it_with_the_published_package,
    a_receiver_on_a_private_network_needs_to_be_allowed,
}

/// Longer than a claim lasts: a dead clerk's webhooks come free then.
const SENT: Duration = Duration::from_secs(60);

async fn delivered(api: &Api, job: &JobObject) -> JobObject {
    eventually("the webhook is delivered", SENT, async || {
        let job = api.job(job.id).await;
        let status = job.webhook.as_ref().map(|webhook| webhook.status);
        (status == Some(WebhookStatus::Delivered)).then_some(job)
    })
    .await
}

/// Runs `clerkwork webhook-secret …` beside the servers and gives what it printed.
async fn secret(system: &System, kind: Kind, act: &str) -> String {
    let mut words = vec!["webhook-secret", act, "--tenant", "default"];
    let file = format!("sqlite:{}", database(system).display());
    if kind == Kind::Embedded {
        words.extend(["--store", &file]);
    }
    let done = system.program(&words).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// The one file of the embedded mode.
fn database(system: &System) -> std::path::PathBuf {
    let mut folders = vec![system.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("clerkwork.db") {
                return path;
            }
        }
    }
    system.folder().join("clerkwork.db")
}

/// The receiver of the documentation, and its port.
async fn receiver(system: &System, secret: &str) -> (Process, String) {
    let mut command = Command::new(python());
    command
        .arg("-u")
        .arg(repository().join("docs/examples/receive_webhook.py"))
        .arg("0")
        .env("WEBHOOK_SECRET", secret);
    let mut process = system.run("receiver", command);
    let line = process.line_with("listening on").await;
    let port = line.rsplit(' ').next().unwrap().to_owned();
    (process, port)
}

async fn a_job_tells_its_end_to_a_receiver_that_verifies_it_with_the_published_package(kind: Kind) {
    let plan = kind.plan().command("shout", 2, &["tr", "a-z", "A-Z"]);
    let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8");
    let system = plan.start().await;
    let old = secret(&system, kind, "show").await;
    assert_eq!(secret(&system, kind, "show").await, old);
    let (mut receiver, port) = receiver(&system, &old).await;
    let url = format!("http://127.0.0.1:{port}/hook");
    let api = system.api();
    let submitted = api
        .submit(&json!({"queue": "shout", "input": "hello", "webhook": url, "tags": ["t:1"]}))
        .await;
    let webhook = submitted.webhook.clone().unwrap();
    assert_eq!(webhook.url, url);
    assert!(matches!(
        webhook.status,
        WebhookStatus::Waiting | WebhookStatus::Pending | WebhookStatus::Delivered
    ));
    let told = receiver.line_with("verified").await;
    let told: Value = serde_json::from_str(told.trim_start_matches("verified ")).unwrap();
    assert_eq!(told["type"], "job.succeeded");
    assert_eq!(told["data"]["id"], submitted.id.to_string());
    assert_eq!(told["data"]["output"], "HELLO");
    assert_eq!(told["data"]["tags"], json!(["t:1"]));
    assert!(told["data"].get("watch_url").is_none());
    let job = delivered(&system.clerk(1), &submitted).await;
    let webhook = job.webhook.unwrap();
    assert_eq!((webhook.attempts, webhook.last_status), (1, Some(204)));
    let list = api.json(Method::GET, "/jobs", None).await;
    assert_eq!(list["jobs"][0]["webhook"]["status"], "delivered");

    // The receiver still has the old secret, and knows a repeat by its id.
    let new = secret(&system, kind, "rotate").await;
    assert_ne!(new, old);
    let again = api.post(&format!("/jobs/{}/redeliver", submitted.id)).await;
    assert_eq!(again.webhook.unwrap().attempts, 0);
    receiver.line_with("known already").await;
    let cancelled = api
        .submit(&json!({"queue": "shout", "input": 1, "webhook": url, "delay_s": 600}))
        .await;
    api.cancel(cancelled.id).await;
    receiver.line_with("job.cancelled").await;
}

async fn a_receiver_on_a_private_network_needs_to_be_allowed(kind: Kind) {
    let system = kind.plan().command("shout", 1, &["cat"]).start().await;
    let api = system.api();
    for url in [
        "http://127.0.0.1:9/",
        "https://127.0.0.1/",
        "https://user@example.com/",
    ] {
        let job = json!({"queue": "shout", "input": 1, "webhook": url});
        let request = api.request(Method::POST, "/jobs").json(&job);
        let problem = api.refusal(request).await;
        assert_eq!(problem.errors[0]["pointer"], "/webhook", "{url}");
    }
    // By its name it is only found out when it is sent, and then not called.
    let job = json!({"queue": "shout", "input": 1, "webhook": "https://localhost/hook"});
    let job = api.submit(&job).await;
    let tried = eventually("it is tried", SENT, async || {
        let webhook = api.job(job.id).await.webhook.unwrap();
        (webhook.attempts > 0).then_some(webhook)
    })
    .await;
    assert_eq!(tried.status, WebhookStatus::Pending);
    assert_eq!(tried.last_status, None);
}

/// Reads the head of a request; the value of its `webhook-id`.
async fn webhook_id(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = connection.read_buf(&mut bytes).await.unwrap();
        assert!(count > 0, "the head has an end");
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let line = head.lines().find(|line| line.starts_with("webhook-id:"));
    line.unwrap()["webhook-id:".len()..].trim().to_owned()
}

async fn connection(listener: &TcpListener) -> TcpStream {
    let accepted = tokio::time::timeout(SENT, listener.accept()).await;
    accepted.expect("a clerk calls").unwrap().0
}

#[tokio::test]
async fn a_webhook_that_a_killed_clerk_was_sending_is_sent_by_another_under_the_same_id() {
    let plan = Kind::Fleet.plan().command("shout", 1, &["cat"]).clerks(1);
    let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8");
    let mut system = plan.start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let job = json!({"queue": "shout", "input": 1, "webhook": url});
    let job = system.api().submit(&job).await;
    let mut first = connection(&listener).await;
    let id = webhook_id(&mut first).await;
    system.add_clerk().await;
    system.clerks[0].process.kill().await;
    let mut second = connection(&listener).await;
    assert_eq!(webhook_id(&mut second).await, id);
    second
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let job = delivered(&system.clerk(1), &job).await;
    assert_eq!(job.webhook.unwrap().attempts, 1);
}
