//! The forms of output: `-o text`, `json`, `jsonl` and `none`.

use serde_json::Value;

use crate::support::{Dev, Said};

fn said(dev: &Dev, words: &[&str], form: &str) -> Said {
    let said = dev.run(&[words, &["-o", form, "--no-progress"]].concat());
    assert_eq!(said.code, 0, "{words:?} {said:?}");
    assert_eq!(said.err, "", "{words:?}");
    said
}

/// Standard output as documents of JSON, one a line.
fn documents(said: &Said) -> Vec<Value> {
    assert!(said.out.ends_with('\n'), "{said:?}");
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every command that prints, on jobs that are there.
fn commands<'a>(done: &'a str, cancelled: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["submit", "shout", "\"abc\"", "--key", "k"],
        vec!["submit", "shout", "\"abc\"", "--key", "k", "--wait=20"],
        vec!["get", done],
        vec!["wait", done, done],
        vec!["watch", done],
        vec!["cancel", cancelled],
        vec!["retry", cancelled],
        vec!["attempts", done],
        vec!["list"],
        vec!["workers"],
        vec!["queue", "list"],
        vec!["queue", "declare", "later"],
        vec!["queue", "pause", "later"],
        vec!["queue", "purge", "later", "--yes"],
    ]
}

fn with_jobs() -> (Dev, String, String) {
    let dev = Dev::start();
    let done = dev.submit(&["shout", "\"abc\""]);
    assert_eq!(dev.run(&["wait", &done]).code, 0);
    let cancelled = dev.submit(&["shout", "1", "--delay", "1h"]);
    assert!(dev.run(&["cancel", &cancelled]).out.contains("cancelled"));
    (dev, done, cancelled)
}

#[test]
fn text_is_for_people_and_an_output_as_it_is() {
    let (dev, done, cancelled) = with_jobs();
    let text = |words: &[&str]| said(&dev, words, "text").out;
    let id = text(&["submit", "shout", "\"abc\"", "--key", "k"]);
    assert_eq!(id.trim().len(), 36);
    assert_eq!(
        text(&["submit", "shout", "\"abc\"", "--key", "k", "--wait=20"]),
        "\"ABC\""
    );
    assert_eq!(text(&["wait", &done, &done]), "\"ABC\"\"ABC\"");
    assert_eq!(text(&["watch", &done]), "\"ABC\"");
    assert_eq!(text(&["output", &done]), "\"ABC\"");
    let job = text(&["get", &done]);
    assert!(
        job.contains("succeeded") && job.lines().count() > 5,
        "{job}"
    );
    let list = text(&["list"]);
    assert!(
        list.lines().any(|line| line.starts_with(&cancelled)),
        "{list}"
    );
    for (words, title) in [
        (vec!["list"], "ID"),
        (vec!["attempts", &done], "ATTEMPT"),
        (vec!["workers"], "HOST"),
        (vec!["queue", "list"], "QUEUE"),
    ] {
        let table = text(&words);
        assert_eq!(table.split_whitespace().next(), Some(title), "{table}");
        assert!(table.lines().count() > 1, "{table}");
    }
}

#[test]
fn json_is_one_document() {
    let (dev, done, cancelled) = with_jobs();
    for words in commands(&done, &cancelled) {
        let count = if words[0] == "wait" { 2 } else { 1 };
        let documents = documents(&said(&dev, &words, "json"));
        assert_eq!(documents.len(), count, "{words:?}");
        assert!(documents.iter().all(Value::is_object), "{words:?}");
    }
    let job = documents(&said(&dev, &["wait", &done], "json"));
    assert_eq!(
        (&job[0]["id"], &job[0]["output"]),
        (&done.into(), &"ABC".into())
    );
    let page = documents(&said(&dev, &["list", "--limit", "1"], "json"));
    assert!(page[0]["jobs"].is_array() && page[0]["next_cursor"].is_string());
}

#[test]
fn jsonl_is_one_document_on_each_line() {
    let (dev, done, cancelled) = with_jobs();
    for words in commands(&done, &cancelled) {
        let documents = documents(&said(&dev, &words, "jsonl"));
        assert!(documents.iter().all(Value::is_object), "{words:?}");
    }
    let jobs = documents(&said(&dev, &["list"], "jsonl"));
    assert!(
        jobs.len() >= 3 && jobs.iter().all(|job| job["id"].is_string()),
        "{jobs:?}"
    );
    let queues = documents(&said(&dev, &["queue", "list"], "jsonl"));
    assert!(
        queues.iter().any(|queue| queue["queue"] == "later"),
        "{queues:?}"
    );
    let events = documents(&said(&dev, &["watch", &done], "jsonl"));
    assert_eq!(events.last().unwrap()["data"]["status"], "succeeded");
}

#[test]
fn none_is_nothing_and_the_exit_code_says_it() {
    let (dev, done, cancelled) = with_jobs();
    for words in commands(&done, &cancelled) {
        assert_eq!(said(&dev, &words, "none").out, "", "{words:?}");
    }
    assert_eq!(said(&dev, &["output", &done], "none").out, "");
    let failed = dev.run(&["wait", &cancelled, "-o", "none"]);
    assert_eq!((failed.code, failed.out.as_str()), (4, ""));
}

#[test]
fn version_speaks_json() {
    let dev = Dev::start();
    let version = dev.run(&["version", "-o", "json"]);
    let version: Value = serde_json::from_str(&version.out).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_form_that_there_is_not_is_told_with_those_that_there_are() {
    let dev = Dev::start();
    let said = dev.run(&["list", "-o", "yaml"]);
    assert_eq!(said.code, 2);
    for form in ["text", "json", "jsonl", "none"] {
        assert!(said.err.contains(form), "{said:?}");
    }
}
