//! Texts that mean something to SQL, to a file system or to a template mean nothing here.

use std::path::{Path, PathBuf};

use clerkwork_core::JobObject;
use clerkwork_tests::{Api, Kind, claims};
use reqwest::Method;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

claims! {
    no_part_of_an_address_is_sql_or_a_path,
    no_field_or_header_of_a_submission_is_sql_or_a_path,
    the_name_of_a_file_is_no_path_and_no_header,
}

/// What such texts look like.
const TEXTS: &[&str] = &[
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "\" OR \"\"=\"",
    "'; DROP TABLE jobs; --",
    "q'; UPDATE jobs SET tenant='x'; --",
    "') OR EXISTS(SELECT 1 FROM api_keys) --",
    "1 UNION SELECT secret, 1, 1 FROM webhook_secrets",
    "1' AND (SELECT 1 FROM pg_sleep(30)) --",
    "'||(SELECT pg_sleep(30))||'",
    "1; ATTACH DATABASE '/tmp/clerkwork-injected.db' AS x; --",
    "$1",
    "$$ OR true $$",
    "?1",
    "\\' OR 1=1 --",
    "*/ OR 1=1 /*",
    "%",
    "_",
    "q%",
    "*",
    "a\0b",
    "..",
    "../",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "....//....//etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "/etc/passwd",
    "file:///etc/passwd",
    "clerkwork-injected\0.png",
    "{{7*7}}",
    "${7*7}",
    "%s%n%x",
    "\u{ff07} OR 1=1",
    "a\r\nX-Injected: 1",
];

/// Every byte escaped, so that it arrives as it is.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A job that no text of ours may reach.
async fn control(api: &Api) -> JobObject {
    let job = json!({"queue": "q", "input": "control", "tags": ["control"], "delay_s": 3600});
    api.submit(&job).await
}

/// The control job is as it was, and no file was made.
async fn unharmed(api: &Api, control: &JobObject, folder: &Path) {
    let now = api.job(control.id).await;
    let read = |job: &JobObject| serde_json::to_value(job).unwrap();
    let (mut now, mut then) = (read(&now), read(control));
    // These tell the time.
    for passing in ["watch_url", "note"] {
        now[passing].take();
        then[passing].take();
    }
    assert_eq!(now, then);
    let kept = api.bytes(&format!("/jobs/{}/input", control.id)).await;
    assert_eq!(kept.1, br#""control""#);
    let queues = api.json(Method::GET, "/queues", None).await;
    let queues = queues["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 1, "{queues:?}");
    let outside = PathBuf::from("/tmp/clerkwork-injected.db");
    assert!(!outside.exists());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(
                !name.contains("injected") && !name.contains("passwd"),
                "{name}"
            );
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

async fn no_part_of_an_address_is_sql_or_a_path(kind: Kind) {
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    let control = control(&api).await;
    let filters = [
        "queue",
        "status",
        "tag",
        "created_after",
        "created_before",
        "limit",
        "cursor",
        "token",
    ];
    for text in TEXTS.iter().map(|text| escaped(text)) {
        for filter in filters {
            let path = format!("/jobs?{filter}={text}");
            let answer = api.request(Method::GET, &path).send().await.unwrap();
            let status = answer.status().as_u16();
            let page: Value = answer.json().await.unwrap();
            // A tag may have any of these texts: then no job has it.
            let none = status == 200 && page["jobs"] == json!([]);
            assert!(none || status == 400, "{path}: {status} {page}");
        }
        let mut acts = vec![
            (Method::GET, String::new()),
            (Method::DELETE, String::new()),
        ];
        for tail in ["output", "input", "attempts", "events"] {
            acts.push((Method::GET, format!("/{tail}")));
        }
        for act in ["cancel", "retry", "redeliver"] {
            acts.push((Method::POST, format!("/{act}")));
        }
        for (method, tail) in acts {
            let refusal = api.refusal(api.request(method, &format!("/jobs/{text}{tail}")));
            let refusal = refusal.await;
            assert_eq!(refusal.status, 404, "{text}{tail}");
        }
        for (method, tail) in [
            (Method::GET, ""),
            (Method::PUT, ""),
            (Method::PATCH, ""),
            (Method::POST, "/purge"),
        ] {
            let request = api.request(method, &format!("/queues/{text}{tail}"));
            let refusal = api.refusal(request.json(&json!({"paused": true}))).await;
            assert!(
                (400..500).contains(&refusal.status),
                "{text}{tail}: {refusal:?}"
            );
        }
    }
    unharmed(&api, &control, system.folder()).await;
}

async fn no_field_or_header_of_a_submission_is_sql_or_a_path(kind: Kind) {
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    let control = control(&api).await;
    let headers = [
        "idempotency-key",
        "prefer",
        "traceparent",
        "tracestate",
        "if-none-match",
        "last-event-id",
        "authorization",
        "user-agent",
        "x-forwarded-for",
    ];
    for text in TEXTS {
        let fields = [
            json!({"queue": text, "input": 1}),
            json!({"queue": "q", "input": 1, "webhook": text}),
            json!({"queue": "q", "input": 1, *text: 1}),
        ];
        for field in fields {
            let refusal = api.refusal(api.request(Method::POST, "/jobs").json(&field));
            let refusal = refusal.await;
            assert!((400..500).contains(&refusal.status), "{field}: {refusal:?}");
        }
        // What is accepted is kept as it is.
        let job = json!({"queue": "q", "input": text, "tags": [text], "delay_s": 3600});
        let answer = api.try_submit(&job).await.unwrap();
        if answer.status() == 202 {
            let job: JobObject = answer.json().await.unwrap();
            let kept = api.bytes(&format!("/jobs/{}/input", job.id)).await.1;
            assert_eq!(kept, json!(text).to_string().as_bytes());
            assert_eq!(json!(job.tags), json!([text]));
        } else {
            assert_eq!(answer.status(), 422, "{text}");
        }
        for header in headers {
            let Ok(value) = HeaderValue::from_str(text) else {
                continue;
            };
            let job = json!({"queue": "q", "input": 1, "delay_s": 3600});
            let request = api.request(Method::POST, "/jobs").json(&job);
            let answer = request.header(header, value).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!([202, 400].contains(&status), "{header}: {text}: {status}");
        }
    }
    unharmed(&api, &control, system.folder()).await;
}

async fn the_name_of_a_file_is_no_path_and_no_header(kind: Kind) {
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    let control = control(&api).await;
    for text in TEXTS
        .iter()
        .chain(&["injected.html\"; filename*=UTF-8''x", "/tmp/injected.sh"])
    {
        let part = Part::bytes(b"<script>".to_vec()).file_name(*text);
        let part = part.mime_str("text/html").unwrap();
        let job = r#"{"queue":"q","delay_s":3600}"#;
        let form = Form::new().text("job", job).part("input", part);
        let answer = api.request(Method::POST, "/jobs").multipart(form);
        let answer = answer.send().await.unwrap();
        if answer.status() != 202 {
            assert_eq!(answer.status(), 400, "{text}");
            continue;
        }
        let job: JobObject = answer.json().await.unwrap();
        let input = api.request(Method::GET, &format!("/jobs/{}/input", job.id));
        let input = input.send().await.unwrap();
        for (name, value) in [
            ("content-disposition", "attachment"),
            ("content-security-policy", "sandbox"),
            ("x-content-type-options", "nosniff"),
            ("content-type", "text/html"),
        ] {
            let values: Vec<_> = input.headers().get_all(name).iter().collect();
            assert_eq!(values, [value], "{text}: {name}");
        }
        assert!(!input.headers().contains_key("x-injected"), "{text}");
        // Another part's name is refused, whatever it is.
        let form = Form::new().text((*text).to_owned(), job.id.to_string());
        let request = api.request(Method::POST, "/jobs").multipart(form);
        let refusal = api.refusal(request).await;
        assert!((400..500).contains(&refusal.status), "{text}: {refusal:?}");
    }
    unharmed(&api, &control, system.folder()).await;
}
