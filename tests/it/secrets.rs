//! What must stay secret is in no log, however much is logged.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Kind, System, eventually};
use reqwest::Method;
use serde_json::json;

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
    let wrong = format!("{}x", &key[..key.len() - 1]);
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
    let clerks = system.clerks.iter().map(|clerk| &clerk.process);
    for process in clerks.chain(&system.workers) {
        let log = process.complaints() + &process.said();
        assert!(
            log.contains("TRACE") || log.contains("DEBUG"),
            "{process:?} logs little"
        );
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{process:?} logs {secret}: {line:?}");
        }
    }
}
