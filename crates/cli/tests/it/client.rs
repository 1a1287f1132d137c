//! The commands that talk to a clerk: what they print, and their exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Dev, run};

#[test]
fn submit_prints_the_id_alone_and_wait_the_output_alone() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "\"abc\""]);
    assert_eq!(id.len(), 36);
    let said = dev.run(&["wait", &id]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"ABC\""));
    let said = dev.run(&["submit", "shout", "\"abc\"", "--wait=20", "--no-progress"]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "\"ABC\"", "")
    );
    let said = dev.run(&["output", &id]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"ABC\""));
    let said = dev.run(&["output", "--input", &id]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"abc\""));
}

#[test]
fn the_forms_of_output_are_text_json_jsonl_and_none() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "\"abc\"", "--tag", "a"]);
    let said = dev.run(&["wait", &id, "-o", "json"]);
    let job: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&job["id"], &job["output"]),
        (&Value::from(id.as_str()), &Value::from("ABC"))
    );
    assert_eq!(dev.run(&["get", &id, "-o", "none"]).out, "");
    assert!(dev.run(&["get", &id]).out.contains("succeeded"));

    dev.submit(&["shout", "1", "--tag", "a"]);
    dev.submit(&["shout", "2"]);
    let said = dev.run(&["list", "--tag", "a", "-o", "jsonl"]);
    assert_eq!(said.out.lines().count(), 2, "{said:?}");
    let said = dev.run(&["list", "--tag", "a", "-o", "json", "--limit", "1"]);
    let page: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
    let cursor = page["next_cursor"].as_str().unwrap();
    let said = dev.run(&["list", "--tag", "a", "--cursor", cursor]);
    assert!(said.out.starts_with(&id), "{said:?}");
}

#[test]
fn exit_codes_tell_how_a_job_ended() {
    let dev = Dev::start();
    let said = dev.run(&["submit", "stumble", "1", "--max-attempts", "1", "--wait"]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert!(said.err.contains("failed"), "{said:?}");

    let id = dev.submit(&["linger"]);
    let said = dev.run(&["wait", &id, "--timeout", "0"]);
    assert_eq!((said.code, said.out.trim()), (5, id.as_str()));
    assert_eq!(dev.run(&["output", &id]).code, 1);
    assert_eq!(dev.run(&["delete", &id]).code, 1);
    assert_eq!(dev.run(&["cancel", &id]).code, 0);
    assert_eq!(dev.run(&["wait", &id]).code, 4);
    assert_eq!(dev.run(&["output", &id]).code, 4);

    let retried = dev.run(&["retry", &id]);
    assert_eq!(retried.code, 0);
    assert_ne!(retried.out.trim(), id);
    assert_eq!(dev.run(&["retry", &id]).out, retried.out);
    assert_eq!(dev.run(&["delete", &id]).code, 0);
    assert_eq!(dev.run(&["get", &id]).code, 6);
    assert_eq!(dev.run(&["get", "no-id"]).code, 6);
}

#[test]
fn a_retried_job_succeeds_with_its_delay_set() {
    let dev = Dev::start();
    let said = dev.run(&[
        "submit",
        "stumble",
        "\"up\"",
        "--retry-delay",
        "0s",
        "--wait=20",
    ]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"UP\""), "{said:?}");
}

#[test]
fn input_comes_from_the_line_a_file_or_standard_input() {
    let dev = Dev::start();
    let file = dev.folder().join("note.txt");
    std::fs::write(&file, "from a file\n").unwrap();
    let named = format!("@{}", file.display());
    let said = dev.run(&["submit", "shout", &named, "--wait"]);
    assert_eq!(said.out, "FROM A FILE\n", "{said:?}");
    let said = dev.run(&["list", "-o", "json"]);
    assert!(
        said.out.contains("\"input_type\":\"text/plain\""),
        "{said:?}"
    );
    let said = dev.run_with(&["submit", "shout", "-", "--wait"], b"[\"piped\"]");
    assert_eq!(said.out, "[\"PIPED\"]", "{said:?}");
    let said = dev.run_with(
        &["submit", "shout", "-", "--type", "text/x", "-o", "json"],
        b"a",
    );
    assert!(said.out.contains("\"input_type\":\"text/x\""), "{said:?}");
}

#[test]
fn one_key_is_one_job() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "1", "--key", "k"]);
    assert_eq!(dev.submit(&["shout", "1", "--key", "k"]), id);
    assert_eq!(dev.run(&["submit", "shout", "2", "--key", "k"]).code, 2);
}

#[test]
fn a_submission_that_fails_names_the_key_to_repeat_it_with_and_then_the_job() {
    let unreachable =
        |more: &[&str]| run(&[&["submit", "q", "1", "--url", "http://127.0.0.1:1"], more].concat());
    let said = unreachable(&["--key", "mine"]);
    assert_eq!(said.code, 8);
    assert!(said.err.contains("`--key mine`"), "{said:?}");
    let said = unreachable(&[]);
    let key = said.err.split("`--key ").nth(1).unwrap();
    assert_eq!(key.find('`'), Some(32), "{said:?}");

    // A server that accepts a job and then does not know it.
    let id = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        for (status, body) in [
            ("202 Accepted", accepted(id)),
            ("404 Not Found", String::new()),
        ] {
            let (mut client, _) = server.accept().unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            let length = body.len();
            write!(
                client,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    let said = run(&["submit", "q", "1", "--wait", "--no-progress", "--url", &url]);
    answers.join().unwrap();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains(&format!("clerkwork wait {id}")),
        "{said:?}"
    );
}

fn accepted(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","queue":"q","status":"queued","done":false,"attempt":0,"max_attempts":3,"tags":[],
        "progress":null,"input_type":"application/json","input_size":1,"output":null,"output_type":null,
        "output_size":null,"output_omitted":false,"error":null,"created_at":"2026-11-24T10:00:00.004Z",
        "due_at":"2026-11-24T10:00:00.004Z","started_at":null,"finished_at":null,"expires_at":null,
        "cancel_requested_at":null,"retry_of":null,"retried_as":null,"webhook":null,"trace_id":null,"note":null,
        "watch_url":null}}"#
    )
}

#[test]
fn refused_input_says_why_and_exits_with_2() {
    let dev = Dev::start();
    for (arguments, why) in [
        (vec!["submit", "UPPER", "1"], "queue"),
        (vec!["submit", "shout", "{oops"], "@FILE"),
        (vec!["submit", "shout", "@/no/such"], "/no/such"),
        (vec!["submit", "shout", "1", "--timeout", "8d"], "timeout_s"),
        (vec!["submit", "shout", "1", "--delay", "soon"], "250ms"),
        (vec!["list", "--status", "done"], "succeeded"),
    ] {
        let said = dev.run(&arguments);
        assert_eq!(said.code, 2, "{arguments:?} {said:?}");
        assert!(
            said.out.is_empty() && said.err.contains(why),
            "{arguments:?} {said:?}"
        );
    }
}

#[test]
fn queues_are_declared_paused_resumed_purged_and_listed() {
    let dev = Dev::start();
    assert_eq!(dev.run(&["queue", "declare", "later"]).code, 0);
    assert_eq!(dev.run(&["queue", "pause", "later"]).code, 0);
    dev.submit(&["later"]);
    let said = dev.run(&["queue", "list", "-o", "jsonl"]);
    let line = said
        .out
        .lines()
        .find(|line| line.contains("\"later\""))
        .unwrap();
    let queue: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&queue["paused"], &queue["queued"]),
        (&true.into(), &1.into())
    );
    assert_eq!(
        dev.run(&["queue", "purge", "later"]).code,
        2,
        "not without --yes"
    );
    let said = dev.run(&["queue", "purge", "later", "--yes"]);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"));
    assert_eq!(dev.run(&["queue", "resume", "later"]).code, 0);
    assert_eq!(dev.run(&["queue", "pause", "nowhere"]).code, 6);
}

#[test]
fn a_server_that_is_not_there_is_exit_8() {
    let said = run(&["list", "--url", "http://127.0.0.1:1"]);
    assert_eq!(said.code, 8);
    assert!(said.err.contains("--url"), "{said:?}");
}

#[test]
fn version_speaks_json() {
    let said = run(&["version", "-o", "json"]);
    let version: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_know_the_commands_and_not_the_hidden_one() {
    let said = run(&["completions", "bash"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("submit"));
    assert!(!run(&["--help"]).out.contains("demo-worker"));
}
