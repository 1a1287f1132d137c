//! Nobody writes lines of their own into the log, nor anything that a terminal obeys.

use clerkwork_core::Status;
use clerkwork_tests::Kind;
use reqwest::Method;
use serde_json::{Value, json};

/// A line's end in each way, what a terminal obeys, and what turns a text around.
const SPEECH: &str =
    "injected\r\nINJECTED\n{\"level\":\"INJECTED\"}\u{1b}[31m\u{7}\u{2028}\u{202e}";

/// Tells each part of a fleet things that it may want to log.
async fn logs_of(format: &str) -> Vec<String> {
    let script = r#"cat >&2; printf '\r\nINJECTED\033[31m\n{"level":"INJECTED"}\n' >&2; exit 1"#;
    let mut system = Kind::Fleet
        .plan()
        .clerks(1)
        .clerk_setting("log", "trace")
        .worker_setting("log", "trace")
        .clerk_setting("log-format", format)
        .worker_setting("log-format", format)
        .shell("fails", 1, script)
        .start()
        .await;
    let api = system.api();
    let escaped: String = SPEECH.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [
        "/jobs/X",
        "/queues/X",
        "/X",
        "/jobs?tag=X",
        "/jobs?X=1",
        "/jobs?token=X",
    ] {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            let request = api.request(method, &path.replace('X', &escaped));
            request.send().await.unwrap();
        }
    }
    for job in [
        json!({"queue": SPEECH, "input": 1}),
        json!({"queue": "fails", "input": 1, "tags": [SPEECH]}),
        json!({"queue": "fails", "input": 1, SPEECH: 1}),
        json!({"queue": "fails", "input": 1, "webhook": format!("https://{SPEECH}")}),
    ] {
        api.try_submit(&job).await.unwrap();
    }
    let job = json!({"queue": "fails", "input": SPEECH, "max_attempts": 1});
    let job = api.ended(&api.submit(&job).await).await;
    assert_eq!(job.status, Status::Failed);
    assert!(system.workers[0].terminate().await.success());
    assert!(system.clerks[0].process.terminate().await.success());
    let said = system.workers[0].complaints();
    assert!(said.contains("INJECTED"), "the worker tells why: {said}");
    [&system.clerks[0].process, &system.workers[0]]
        .map(|process| process.complaints())
        .into()
}

#[tokio::test]
async fn every_line_of_a_log_in_json_is_one_object_of_ours() {
    for log in logs_of("json").await {
        assert!(!log.is_empty());
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
            assert_ne!(line["level"], "INJECTED");
            assert!(line["target"].is_string(), "{line}");
        }
        assert!(!log.contains('\u{1b}') && !log.contains('\r'), "{log}");
    }
}

#[tokio::test]
async fn no_line_of_a_log_for_people_is_a_strangers_and_none_tells_a_terminal_anything() {
    for log in logs_of("text").await {
        assert!(!log.is_empty());
        for line in log.lines() {
            let dated = line.starts_with("20") && line.as_bytes().get(10) == Some(&b'T');
            assert!(dated, "{line:?}");
        }
        assert!(
            !log.contains(['\u{1b}', '\u{7}', '\r', '\u{2028}', '\u{202e}']),
            "{log:?}"
        );
    }
}
