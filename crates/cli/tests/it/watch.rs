//! `watch`: what it shows of a job's events, against a small server that tells them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::stand_in::{Answer, ID, job, standing_in};
use crate::support::{Said, command, on_terminal};

/// A server that tells these events, and whose jobs have the output `"done"`.
fn telling(events: String) -> String {
    standing_in(move |_, path| {
        if path.ends_with("/events") {
            // While the job goes on, so does the stream.
            Answer::events(&events, !events.contains("\"done\":true"))
        } else if path.ends_with("/output") {
            Answer::json(200, "\"done\"")
        } else {
            Answer::json(200, job("running"))
        }
    })
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
    let said = on_terminal(&format!("clerkwork watch {ID}"), &[("CLERKWORK_URL", &url)]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = said.out;
    assert!(said.contains("42% page 3 of 7"), "{said:?}");
    assert!(said.contains("###"), "{said:?}");
    assert!(said.contains("warn: low\u{fffd}[2J on paper"), "{said:?}");
    let left = said.rsplit("\x1b[2K").next().unwrap();
    assert_eq!(left.trim_start_matches('\r').trim(), "\"done\"", "{said:?}");
}
