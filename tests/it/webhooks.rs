//! Webhooks: whoever was named is told how a job ended, and can tell that it was us.

use std::time::Duration;

use clerkwork_core::{JobObject, WebhookStatus};
use clerkwork_tests::{Api, Kind, Language, claims, eventually, python, repository};
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

async fn a_job_tells_its_end_to_a_receiver_that_verifies_it_with_the_published_package(kind: Kind) {
    let plan = kind.plan().command("shout", 2, &["tr", "a-z", "A-Z"]);
    let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8");
    let system = plan.start().await;
    let old = system.webhook_secret("show").await;
    assert_eq!(system.webhook_secret("show").await, old);
    let receiver = system.receiver(Language::Python, &old).await.unwrap();
    let (mut receiver, url) = (receiver.process, receiver.url);
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
    let new = system.webhook_secret("rotate").await;
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

/// Sends what is not ours to a receiver, and in the end what is; prints the statuses.
const STRANGERS: &str = r#"
import datetime, http.client, json, os, sys, urllib.parse
from standardwebhooks.webhooks import Webhook

url = urllib.parse.urlsplit(sys.argv[1])
body = json.dumps({"type": "job.succeeded", "data": {"id": "7"}})

def send(seconds=0, secret=os.environ["WEBHOOK_SECRET"], sent=body, without=None, **changed):
    # The package takes what has no time zone for UTC.
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    sign = lambda secret: Webhook(secret).sign("msg_7", at, body)
    headers = {"id": "msg_7", "timestamp": str(int(at.timestamp())), "signature": sign(secret)}
    for name, change in changed.items():
        headers[name] = change(headers[name])
    headers = {f"webhook-{name}": value for name, value in headers.items() if name != without}
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request("POST", url.path, sent, headers)
    print(connection.getresponse().status, end=" ")

other = "whsec_" + "A" * 32
send(secret=other)
send(sent=body.replace("7", "8"))
send(id=lambda _: "msg_8")
send(seconds=-330)
send(seconds=330)
send(timestamp=lambda time: str(int(time) + 1))
send(timestamp=lambda _: "soon")
for name in ["id", "timestamp", "signature"]:
    send(without=name)
for nonsense in ["v1,", "v1", "v1,AAAA", "v1,A", ","]:
    send(signature=lambda _: nonsense)
send(signature=lambda signature: signature.replace("v1,", "v1a,"))
# One that is cut off, which must not take the receiver along.
cut = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
cut.putrequest("POST", url.path)
cut.putheader("content-length", "100")
cut.endheaders(b"half")
cut.close()
print("-", end=" ")
other = Webhook(other).sign("msg_7", datetime.datetime.now(datetime.timezone.utc), body)
send(signature=lambda signature: f"{other} {signature}")
send(seconds=-270)
"#;

async fn only_what_we_signed_lately_is_taken(language: Language) {
    let system = Kind::Embedded.plan().queue("shout").start().await;
    let secret = system.webhook_secret("show").await;
    let Some(mut receiver) = system.receiver(language, &secret).await else {
        return;
    };
    let mut strangers = Command::new(python());
    strangers
        .args(["-c", STRANGERS, &receiver.url])
        .env("WEBHOOK_SECRET", &secret);
    let mut strangers = system.run("strangers", strangers);
    let status = strangers.ended_within(SENT).await;
    assert!(status.success(), "{}", strangers.complaints());
    let refused = "401 ".repeat(16);
    assert_eq!(strangers.said(), format!("{refused}- 204 204 "));
    receiver.process.line_with("verified").await;
    receiver
        .process
        .line_with("known already job.succeeded 7")
        .await;
}

#[tokio::test]
async fn the_receiver_in_python_takes_only_what_we_signed_lately() {
    only_what_we_signed_lately_is_taken(Language::Python).await;
}

#[tokio::test]
async fn the_receiver_in_node_takes_only_what_we_signed_lately() {
    only_what_we_signed_lately_is_taken(Language::Node).await;
}

#[test]
fn what_the_page_shows_of_the_receiver_in_node_is_in_the_receiver() {
    let read = |file: &str| std::fs::read_to_string(repository().join("docs").join(file)).unwrap();
    let (page, receiver) = (read("webhooks.md"), read("examples/receive_webhook.mjs"));
    let shown = page
        .split("```js\n")
        .find(|part| part.contains("timingSafeEqual"));
    let shown = shown.unwrap().split("```").next().unwrap();
    for paragraph in shown.trim().split("\n\n") {
        assert!(receiver.contains(paragraph), "{paragraph}");
    }
}

#[tokio::test]
async fn the_receiver_in_node_verifies_what_a_clerk_sends() {
    let plan = Kind::Embedded
        .plan()
        .command("shout", 1, &["tr", "a-z", "A-Z"]);
    let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8");
    let system = plan.start().await;
    let secret = system.webhook_secret("show").await;
    let Some(mut receiver) = system.receiver(Language::Node, &secret).await else {
        return;
    };
    let job = json!({"queue": "shout", "input": "h\u{e9}llo", "webhook": receiver.url});
    let job = system.api().submit(&job).await;
    let told = receiver.process.line_with("verified").await;
    let told: Value = serde_json::from_str(told.trim_start_matches("verified ")).unwrap();
    assert_eq!(told["data"]["id"], job.id.to_string());
    assert_eq!(told["data"]["output"], "H\u{e9}LLO");
    delivered(&system.api(), &job).await;
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
