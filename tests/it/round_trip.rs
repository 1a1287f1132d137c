//! A job goes the whole way, with each kind of worker.

use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, Process, claims, example, python, repository};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::process::Command;

claims! {
    a_command_takes_the_input_and_its_output_is_the_jobs,
    json_reaches_the_worker_byte_for_byte,
    bytes_go_in_and_other_bytes_come_out,
    a_typed_rust_handler_answers,
    what_a_client_sees_of_a_job_is_the_same_everywhere,
}

async fn a_command_takes_the_input_and_its_output_is_the_jobs(kind: Kind) {
    let system = kind
        .plan()
        .command("shout", 2, &["tr", "a-z", "A-Z"])
        .start()
        .await;
    let job = system
        .api()
        .request(Method::POST, "/jobs")
        .header("Prefer", "wait=20")
        .json(&json!({"queue": "shout", "input": "hello", "tags": ["order:42"]}))
        .send()
        .await
        .unwrap();
    assert_eq!(job.status().as_u16(), 200);
    let job: clerkwork_core::JobObject = job.json().await.unwrap();
    assert_eq!(job.status, Status::Succeeded);
    assert!(job.done && job.started_at.is_some() && job.finished_at.is_some());
    assert_eq!(job.attempt, 1);
    assert_eq!(job.output.unwrap().get(), r#""HELLO""#);
    assert_eq!(job.output_type.as_deref(), Some("application/json"));
}

async fn json_reaches_the_worker_byte_for_byte(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let api = system.api();
    let inputs = [
        r#"{"a": 1, "a": 2,   "b":[ ]}"#,
        r#"{"n": 123456789012345678901234567890.10e-3}"#,
        r#""\u0000 \ud83d\ude00 \/""#,
        "  null",
        "[1e400000, -0.0]",
    ];
    for input in inputs {
        let answer = api
            .request(Method::POST, "/jobs")
            .header("Content-Type", "application/json")
            .header("Prefer", "wait=20")
            .body(format!(r#"{{"queue": "echo", "input":{input}}}"#))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{input}");
        let job: clerkwork_core::JobObject = answer.json().await.unwrap();
        // White space around the value is no part of it.
        let value = input.trim().as_bytes();
        assert_eq!(api.bytes(&format!("/jobs/{}/input", job.id)).await.1, value);
        assert_eq!(api.output(job.id).await.1, value);
        // The value null cannot be told from no value, except by the media type.
        let inline = job.output.as_ref().map_or("null", |output| output.get());
        assert_eq!(inline.as_bytes(), value);
        assert_eq!(job.output_type.as_deref(), Some("application/json"));
    }
}

async fn bytes_go_in_and_other_bytes_come_out(kind: Kind) {
    let script = r"printf '\377\000'; cat";
    let system = kind.plan().shell("bytes", 1, script).start().await;
    let api = system.api();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let job = json!({"queue": "bytes"}).to_string();
    let form = Form::new()
        .part("job", Part::text(job).mime_str("application/json").unwrap())
        .part(
            "input",
            Part::bytes(bytes.clone()).mime_str("image/png").unwrap(),
        );
    let answer = api
        .request(Method::POST, "/jobs")
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let job = answer.json().await.unwrap();
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(
        (job.input_type.as_str(), job.input_size),
        ("image/png", 300_000)
    );
    assert!(job.output.is_none());
    let (media_type, output) = api.output(job.id).await;
    assert_eq!(media_type, "application/octet-stream");
    assert_eq!(output, [&[0xff, 0x00], bytes.as_slice()].concat());
    assert_eq!(
        api.bytes(&format!("/jobs/{}/input", job.id)).await,
        ("image/png".to_owned(), bytes)
    );
}

async fn a_typed_rust_handler_answers(kind: Kind) {
    let system = kind.plan().queue("upper").start().await;
    let (api, _process) = match kind {
        Kind::Embedded => {
            let mut command = Command::new(example("embedded_upper"));
            command.args(["--listen", "127.0.0.1:0", "--data", "upper"]);
            let mut process = system.run("embedded_upper", command);
            (address(&mut process).await, process)
        }
        Kind::Fleet => {
            let mut command = Command::new(example("upper_worker"));
            command.args(["--queue", "upper", "--concurrency", "4"]);
            (system.api(), system.run("upper_worker", command))
        }
    };
    let job = api.run("upper", json!({"text": "abc"})).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    assert_eq!(job.output.unwrap().get(), r#"{"text":"ABC"}"#);

    let job = api.run("upper", json!({"words": 7})).await;
    assert_eq!(job.status, Status::Failed);
    assert_eq!(job.attempt, 1, "an input that does not fit never will");
}

async fn what_a_client_sees_of_a_job_is_the_same_everywhere(kind: Kind) {
    let system = kind
        .plan()
        .command("shout", 2, &["tr", "a-z", "A-Z"])
        .start()
        .await;
    let job = system.clerk(0).run("shout", json!("hello")).await;
    let path = format!("/jobs/{}", job.id);
    let first = system.clerk(0).json(Method::GET, &path, None).await;
    let second = system.clerk(1).json(Method::GET, &path, None).await;
    assert_eq!(first, second);
    let listed = system
        .clerk(1)
        .json(Method::GET, "/jobs?queue=shout", None)
        .await;
    assert_eq!(listed["jobs"][0]["id"], first["id"]);
    let attempts = system
        .clerk(1)
        .json(Method::GET, &format!("{path}/attempts"), None)
        .await;
    assert_eq!(attempts["attempts"][0]["attempt"], 1);
}

#[tokio::test]
async fn a_plain_python_worker_that_knows_nothing_of_us_answers() {
    let system = Kind::Fleet.plan().queue("plain").start().await;
    let mut command = Command::new(python());
    command
        .arg(repository().join("docs/examples/plain_worker.py"))
        .args(["plain", system.prefix()]);
    let _worker = system.run("python", command);
    let job = system.api().run("plain", json!({"text": "abc"})).await;
    assert_eq!(job.status, Status::Succeeded, "{job:?}");
    let output: serde_json::Value = serde_json::from_str(job.output.unwrap().get()).unwrap();
    assert_eq!(output, json!({"text": "ABC"}));
}

async fn address(process: &mut Process) -> Api {
    let line = process.line_with("http://").await;
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    Api::new(address.unwrap())
}
