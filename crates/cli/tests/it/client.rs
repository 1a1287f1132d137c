//! The commands that talk to a clerk: what they do.

use serde_json::Value;

use crate::stand_in::{Answer, ID, job, standing_in};
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
fn a_list_goes_on_where_its_page_ended() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "\"abc\"", "--tag", "a"]);
    dev.submit(&["shout", "1", "--tag", "a"]);
    dev.submit(&["shout", "2"]);
    let said = dev.run(&["list", "--tag", "a", "-o", "json", "--limit", "1"]);
    let page: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
    let cursor = page["next_cursor"].as_str().unwrap();
    let said = dev.run(&["list", "--tag", "a", "--cursor", cursor]);
    assert!(said.out.starts_with(&id), "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
}

#[test]
fn a_job_is_retried_once_and_deleted_for_good() {
    let dev = Dev::start();
    let id = dev.submit(&["linger", "1"]);
    assert_eq!(dev.run(&["cancel", &id]).code, 0);
    assert_eq!(dev.run(&["wait", &id]).code, 4);
    let retried = dev.run(&["retry", &id]);
    assert_eq!(retried.code, 0);
    assert_ne!(retried.out.trim(), id);
    assert_eq!(dev.run(&["retry", &id]).out, retried.out);
    assert_eq!(dev.run(&["delete", &id]).code, 0);
    assert_eq!(dev.run(&["get", &id]).code, 6);
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
    let said = dev.run_with(&["submit", "shout", "--wait"], b"\"without a dash\"");
    assert_eq!(said.out, "\"WITHOUT A DASH\"", "{said:?}");
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
    let url = standing_in(|method, _| match method {
        "POST" => Answer::json(202, job("queued")),
        _ => Answer::json(404, ""),
    });
    let said = run(&["submit", "q", "1", "--wait", "--no-progress", "--url", &url]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains(&format!("clerkwork wait {ID}")),
        "{said:?}"
    );
}

#[test]
fn queues_are_declared_paused_resumed_purged_and_listed() {
    let dev = Dev::start();
    assert_eq!(dev.run(&["queue", "declare", "later"]).code, 0);
    assert_eq!(dev.run(&["queue", "pause", "later"]).code, 0);
    dev.submit(&["later", "1"]);
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
fn completions_know_the_commands_and_not_the_hidden_one() {
    let said = run(&["completions", "bash"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("submit"));
    assert!(!run(&["--help"]).out.contains("demo-worker"));
}
