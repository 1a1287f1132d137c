//! API keys over a fleet: all clerks heed what one command did in the store.

use std::time::Duration;

use clerkwork_tests::{Api, Kind, System, eventually, repository};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

/// As long as clerks may take to heed a key.
const HEEDED: Duration = Duration::from_secs(20);

/// Runs `clerkwork key …` and gives what it printed.
async fn key(system: &System, words: &[&str]) -> String {
    let done = system
        .program(&[&["key"], words].concat())
        .output()
        .await
        .unwrap();
    assert!(
        done.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn status(api: &Api, path: &str, key: Option<&str>) -> StatusCode {
    let mut request = api.request(Method::GET, path);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    request.send().await.unwrap().status()
}

async fn refused_everywhere(clerks: &[Api], key: Option<&str>) {
    eventually("all clerks refuse it", HEEDED, async || {
        for api in clerks {
            if status(api, "/jobs", key).await != 401 {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// Runs the health check that docker-compose.yml has for its first clerk against the clerk at this address.
async fn health_check(address: &str) -> bool {
    let compose = std::fs::read_to_string(repository().join("docker-compose.yml")).unwrap();
    let mut checks = compose
        .lines()
        .filter(|line| line.contains("127.0.0.1/8081"));
    let check = checks.next().unwrap().trim();
    let words = check.strip_prefix("test: ").unwrap();
    let words: Vec<String> = serde_json::from_str(words).unwrap();
    let script = words[3].replace("127.0.0.1/8081", &address.replace(':', "/"));
    let check = Command::new(&words[1]).args(["-c", &script]).status();
    timeout(Duration::from_secs(60), check)
        .await
        .unwrap()
        .unwrap()
        .success()
}

#[tokio::test]
async fn keys_are_needed_and_revoked_on_all_clerks_within_20_s_and_tokens_open_on_all() {
    let system = Kind::Fleet.plan().clerks(2).queue("q").start().await;
    let clerks = [system.clerk(0), system.clerk(1)];
    for api in &clerks {
        assert_eq!(status(api, "/queues", None).await, 200);
    }
    let mine = key(&system, &["create", "--tenant", "mine", "--role", "client"]).await;
    refused_everywhere(&clerks, None).await;
    let healthy = health_check(clerks[0].address()).await;
    assert!(
        healthy,
        "docker-compose.yml asks for a clerk's health without a key"
    );
    let theirs = key(
        &system,
        &["create", "--tenant", "theirs", "--role", "operator"],
    )
    .await;

    let submission = clerks[0].request(Method::POST, "/jobs").bearer_auth(&mine);
    let submission = submission.json(&json!({"queue": "q", "input": 1}));
    let answer = submission.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let job: Value = answer.json().await.unwrap();
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    let token = job["watch_url"]
        .as_str()
        .unwrap()
        .split_once('?')
        .unwrap()
        .1;
    for api in &clerks {
        assert_eq!(status(api, &path, Some(&mine)).await, 200);
        assert_eq!(status(api, &path, Some(&theirs)).await, 404);
        assert_eq!(status(api, "/queues", Some(&mine)).await, 403);
        assert_eq!(status(api, "/queues", Some(&theirs)).await, 200);
        assert_eq!(status(api, &format!("{path}?{token}"), None).await, 200);
        assert_eq!(status(api, &format!("/jobs?{token}"), None).await, 401);
    }

    key(&system, &["revoke", &mine[4..12]]).await;
    refused_everywhere(&clerks, Some(&mine)).await;
    for api in &clerks {
        assert_eq!(status(api, "/queues", Some(&theirs)).await, 200);
    }
    let secrets = [&mine[13..], &theirs[13..], token];
    for clerk in &system.clerks {
        let log = clerk.process.complaints();
        assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
    }
}
