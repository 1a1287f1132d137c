//! `watch`: what it shows of a job's events, against a small server that tells them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Said, command};

const ID: &str = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";

/// A server that tells these events, and whose jobs have the output `"done"`.
fn telling(events: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = answer(socket.unwrap(), &events);
        }
    });
    url
}

fn answer(mut socket: TcpStream, events: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let last = job("running");
    let (kind, body) = match first.split(' ').nth(1).unwrap() {
        path if path.ends_with("/events") => ("text/event-stream", events),
        path if path.ends_with("/output") => ("application/json", "\"done\""),
        _ => ("application/json", last.as_str()),
    };
    write!(
        socket,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}"
    )?;
    if !events.contains("\"done\":true") && kind == "text/event-stream" {
        // The job goes on: so does the stream, until the client goes.
        let _ = lines.next();
    }
    Ok(())
}

fn job(status: &str) -> String {
    let done = !matches!(status, "scheduled" | "queued" | "running");
    let error = match status {
        "failed" => r#"{"type":"urn:x","title":"It broke","detail":"at page 3","attempt":1}"#,
        _ => "null",
    };
    format!(
        r#"{{"id":"{ID}","queue":"q","status":"{status}","done":{done},"attempt":1,"max_attempts":3,"tags":[],"progress":null,"input_type":"application/json","input_size":1,"output":null,"output_type":null,"output_size":null,"output_omitted":false,"error":{error},"created_at":"2026-11-24T10:00:00.004Z","due_at":"2026-11-24T10:00:00.004Z","started_at":null,"finished_at":null,"expires_at":null,"cancel_requested_at":null,"retry_of":null,"retried_as":null,"webhook":null,"trace_id":null,"note":null,"watch_url":null}}"#
    )
}

fn event(id: &str, kind: &str, data: &str) -> String {
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n")
}

/// A job that runs, tells and ends.
fn life(end: &str) -> String {
    [
        event("1.1.0", "state", &job("running")),
        event(
            "1.1.1",
            "progress",
            r#"{"fraction":0.42,"message":"page 3 of 7","at":"2026-11-24T10:00:07.120Z"}"#,
        ),
        event(
            "1.1.2",
            "log",
            r#"{"level":"warn","message":"low\u001b[2J on paper","at":"2026-11-24T10:00:07.120Z"}"#,
        ),
        event("1.1.3", "chunk", r#"{"index":0,"data":{"page":1}}"#),
        event("2.1.3", "state", &job(end)),
    ]
    .concat()
}

fn watch(url: &str, more: &[&str]) -> Said {
    let arguments = [&["watch", ID, "--url", url], more].concat();
    command(&arguments).output().unwrap().into()
}

#[test]
fn without_a_terminal_events_are_lines_on_standard_error_and_the_output_is_the_data() {
    let said = watch(&telling(life("succeeded")), &[]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"done\""), "{said:?}");
    let lines: Vec<_> = said.err.lines().collect();
    let running = format!("{ID} running");
    let expected = [
        running.as_str(),
        "42% page 3 of 7",
        "warn: low\u{fffd}[2J on paper",
        "chunk 0: {\"page\":1}",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn no_progress_leaves_the_output_alone() {
    let said = watch(&telling(life("succeeded")), &["--no-progress"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("\"done\"", ""));
}

#[test]
fn as_jsonl_each_event_is_a_line_of_data() {
    let said = watch(&telling(life("succeeded")), &["-o", "jsonl"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let events: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["state", "progress", "log", "chunk", "state"]);
    assert_eq!(events[1]["id"], "1.1.1");
    assert_eq!(events[1]["data"]["fraction"], 0.42);
    assert_eq!(events[4]["data"]["status"], "succeeded");
}

#[test]
fn the_exit_code_is_that_of_the_jobs_end() {
    for (end, code) in [("failed", 3), ("cancelled", 4), ("expired", 4)] {
        for format in ["text", "jsonl"] {
            let said = watch(&telling(life(end)), &["-o", format]);
            assert_eq!(said.code, code, "{said:?}");
            assert!(said.err.contains(end), "{said:?}");
        }
    }
}

#[test]
fn watching_long_enough_prints_the_id_and_exits_with_5() {
    let url = telling(event("1.1.0", "state", &job("running")));
    let said = watch(&url, &["--timeout", "1"]);
    assert_eq!((said.code, said.out.trim()), (5, ID), "{said:?}");
    assert!(said.err.contains("clerkwork wait"), "{said:?}");
}

#[test]
fn an_interrupted_watch_exits_with_130() {
    let url = telling(event("1.1.0", "state", &job("running")));
    let mut watch = command(&["watch", ID, "--url", &url]);
    let mut watch = watch.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(watch.stderr.take().unwrap());
    errors.read_line(&mut said).unwrap();
    assert!(said.contains("running"), "{said}");
    let pid = nix::unistd::Pid::from_raw(watch.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

#[test]
fn on_a_terminal_there_is_a_bar_that_leaves_nothing_behind() {
    let url = telling(life("succeeded"));
    let watch = format!("{} watch {ID} --url {url}", env!("CARGO_BIN_EXE_clerkwork"));
    let output = Command::new("script")
        .args(["-qec", &watch, "/dev/null"])
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("42% page 3 of 7"), "{said:?}");
    assert!(said.contains("###"), "{said:?}");
    assert!(said.contains("warn: low\u{fffd}[2J on paper"), "{said:?}");
    let left = said.rsplit("\x1b[2K").next().unwrap();
    assert_eq!(left.trim_start_matches('\r').trim(), "\"done\"", "{said:?}");
}
