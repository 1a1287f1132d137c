//! What must stay secret is in no log, however much is logged.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Api, Kind, System, eventually};
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Stands in the input of a job, and nowhere else.
const INPUT: &str = "canary-input-5a69";

/// A key made on the command line.
async fn make_key(system: &System) -> String {
    let words = ["key", "create", "--tenant", "shop", "--role", "operator"];
    let made = system.program(&words).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// The passwords of the services.
fn passwords(system: &System) -> Vec<String> {
    let broker = std::env::var("AMQP_URL").unwrap_or_default();
    let password = |url: String| {
        let (_, rest) = url.split_once("://")?;
        let (login, _) = rest.split_once('@')?;
        let (_, password) = login.split_once(':')?;
        // RabbitMQ's guest has its name as password, which is a word of its own.
        (password != "guest").then(|| password.to_owned())
    };
    [system.store(), broker]
        .into_iter()
        .filter_map(password)
        .collect()
}

/// Leaves in the middle of a request, of which a clerk logs more than it does by itself.
async fn hang_up(api: &Api) {
    let mut socket = TcpStream::connect(api.address()).await.unwrap();
    socket
        .write_all(b"GET /v1/jobs HTTP/1.1\r\nhost: ")
        .await
        .unwrap();
}

/// A key that is wrong by its last character.
fn another(key: &str) -> String {
    let (but_one, last) = key.split_at(key.len() - 1);
    format!("{but_one}{}", if last == "x" { "y" } else { "x" })
}

#[tokio::test]
async fn no_log_has_a_key_a_token_an_input_or_a_password_even_at_trace() {
    let system = Kind::Fleet
        .plan()
        .clerk_setting("log", "trace")
        .worker_setting("log", "trace")
        .command("shout", 2, &["tr", "a-z", "A-Z"])
        .start()
        .await;
    let key = make_key(&system).await;
    let secret = system.program(&["webhook-secret", "show", "--tenant", "shop"]);
    let secret = { secret }.output().await.unwrap();
    let secret = String::from_utf8(secret.stdout).unwrap().trim().to_owned();
    assert!(
        key.starts_with("cwk_") && secret.starts_with("whsec_"),
        "{key} {secret}"
    );
    let api = system.api();
    let submit = || {
        let job = json!({"queue": "shout", "input": INPUT});
        let request = api.request(Method::POST, "/jobs").json(&job);
        request.bearer_auth(&key).header("Prefer", "wait=20")
    };
    // A clerk heeds the first key within seconds; until then anybody may come in.
    eventually("keys are needed", Duration::from_secs(30), async || {
        let answer = api.request(Method::GET, "/jobs").send().await.ok()?;
        (answer.status() == 401).then_some(())
    })
    .await;
    let job: JobObject = submit().send().await.unwrap().json().await.unwrap();
    assert_eq!(job.status, Status::Succeeded);
    let watch = job.watch_url.unwrap();
    let (_, token) = watch.split_once("token=").unwrap();
    let path = watch.strip_prefix("/v1").unwrap();
    let seen = api.request(Method::GET, path).send().await.unwrap();
    assert!(seen.status().is_success());
    let wrong = another(&key);
    let refused = api.request(Method::GET, "/jobs").bearer_auth(&wrong);
    assert_eq!(refused.send().await.unwrap().status(), 401);
    let mut secrets = vec![
        key[13..].to_owned(),
        wrong[13..].to_owned(),
        token.to_owned(),
        secret[6..].to_owned(),
        INPUT.to_owned(),
        INPUT.to_uppercase(),
    ];
    secrets.extend(passwords(&system));
    for clerk in &system.clerks {
        hang_up(&clerk.api).await;
    }
    let clerks = system.clerks.iter().map(|clerk| &clerk.process);
    for process in clerks.chain(&system.workers) {
        let log = eventually("it logs much", Duration::from_secs(60), async || {
            let log = process.complaints() + &process.said();
            (log.contains("TRACE") || log.contains("DEBUG")).then_some(log)
        })
        .await;
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{process:?} logs {secret}: {line:?}");
        }
    }
}

/// All rows of all tables as text, each with the table's name.
async fn dump(store: &str) -> Vec<(String, String)> {
    let mut connection = PgConnection::connect(store).await.unwrap();
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema')";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut dump = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!("select t::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(rows)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        dump.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    dump
}

#[tokio::test]
async fn a_copy_of_the_store_has_no_key_and_webhook_secrets_only_where_the_guide_says() {
    let system = Kind::Fleet.plan().queue("q").start().await;
    let key = make_key(&system).await;
    let secret = system.program(&["webhook-secret", "show", "--tenant", "shop"]);
    let secret = { secret }.output().await.unwrap();
    let secret = String::from_utf8(secret.stdout).unwrap().trim().to_owned();
    let api = system.api();
    let job = json!({"queue": "q", "input": 1, "webhook": "https://example.com/hook"});
    let request = api.request(Method::POST, "/jobs").json(&job);
    let request = request.header("Idempotency-Key", "canary-key-7c1e");
    let job = request.bearer_auth(&key).send().await.unwrap();
    let job: JobObject = job.json().await.unwrap();
    let (_, token) = job
        .watch_url
        .as_ref()
        .unwrap()
        .split_once("token=")
        .unwrap();
    let dump = dump(&system.store()).await;
    let holding = |text: &str| -> Vec<&str> {
        let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let rows = dump.iter();
        let rows = rows.filter(|(_, row)| row.contains(text) || row.contains(&digits));
        rows.map(|(table, _)| table.as_str()).collect()
    };
    // A control: what is in it is found.
    assert_eq!(holding(&key[4..12]), ["public.api_keys"]);
    assert!(!holding("https://example.com/hook").is_empty());
    for secret in [
        &key[13..],
        token,
        token.rsplit('.').next().unwrap(),
        "canary-key-7c1e",
    ] {
        assert_eq!(holding(secret), [""; 0], "{secret}");
    }
    // Bytes, not text: the secret signs.
    let program = "import base64, sys; print(base64.b64decode(sys.argv[1]).hex())";
    let bytes = tokio::process::Command::new(clerkwork_tests::python())
        .args(["-c", program, &secret[6..]])
        .output();
    let bytes = String::from_utf8(bytes.await.unwrap().stdout).unwrap();
    assert_eq!(bytes.trim().len(), 64, "{bytes}");
    assert_eq!(holding(bytes.trim()), ["public.webhook_secrets"]);
    assert_eq!(holding(&secret[6..]), [""; 0]);
}
