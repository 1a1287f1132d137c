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
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 2, "titles and a job: {said:?}");
    assert!(lines[1].starts_with(&id), "{said:?}");
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
    let said = dev.run(&["delete", &id]);
    assert_eq!(said.code, 2, "not without --yes: {said:?}");
    assert!(said.err.contains("--yes"), "{said:?}");
    assert_eq!(dev.run(&["get", &id]).code, 0);
    assert_eq!(dev.run(&["delete", &id, "--yes"]).code, 0);
    assert_eq!(dev.run(&["get", &id]).code, 6);
}

#[test]
fn what_fails_for_one_of_many_jobs_is_done_for_the_others() {
    let dev = Dev::start();
    let stopped = [(); 2].map(|()| dev.submit(&["shout", "1", "--delay", "1h"]));
    assert_eq!(dev.run(&["cancel", &stopped[0], &stopped[1]]).code, 0);
    let done = dev.submit(&["shout", "1"]);
    assert_eq!(dev.run(&["wait", &done]).code, 0);
    let said = dev.run(&["retry", &stopped[0], "no-id", ID, &done, &stopped[1]]);
    assert_eq!(said.code, 6, "the first that is not 0: {said:?}");
    assert_eq!(said.out.lines().count(), 2, "{said:?}");
    let told: Vec<&str> = said.err.lines().collect();
    assert_eq!(told.len(), 3, "{said:?}");
    for (line, id) in told.iter().zip(["no-id", ID, &done]) {
        assert!(line.contains(id), "{said:?}");
    }
    let said = dev.run(&["wait", ID, &done]);
    assert_eq!((said.code, said.out.as_str()), (6, "1"), "{said:?}");
    let said = run(&["retry", ID, &done, "--url", "http://127.0.0.1:1"]);
    assert_eq!(said.err.lines().count(), 1, "once for all: {said:?}");
}

#[test]
fn attempts_are_shown_with_their_errors() {
    let dev = Dev::start();
    let id = dev.submit(&["stumble", "\"up\"", "--retry-delay", "0s"]);
    assert_eq!(dev.run(&["wait", &id]).code, 0);
    for words in [["get", &id], ["attempts", &id]] {
        let said = dev.run(&words);
        let titles = said.out.lines().position(|line| line.contains("ATTEMPT"));
        let attempts: Vec<&str> = said.out.lines().skip(titles.unwrap() + 1).collect();
        assert_eq!(attempts.len(), 3, "{said:?}");
        assert!(attempts[0].contains("stumbl"), "{said:?}");
    }
    let said = dev.run(&["list", "--queue", "stumble"]);
    assert!(said.out.starts_with("ID"), "{said:?}");
}

#[test]
fn a_webhook_that_a_job_does_not_have_is_not_sent_again() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "1"]);
    assert_eq!(dev.run(&["wait", &id]).code, 0);
    let said = dev.run(&["redeliver", &id]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("webhook"), "{said:?}");
    let url = standing_in(|_, _| Answer::json(202, job("succeeded")));
    let said = run(&["redeliver", ID, "--url", &url]);
    assert_eq!(said.code, 0, "{said:?}");
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
    // The values of a client's option, and of a setting.
    assert!(said.out.contains("scheduled queued running"), "statuses");
    assert!(said.out.contains("quorum classic"), "types of queues");
    assert!(!run(&["--help"]).out.contains("demo-worker"));
}

#[test]
fn the_help_of_every_command_has_examples() {
    let help = run(&["--help"]).out;
    let (_, commands) = help.split_once("Commands:").unwrap();
    let commands = commands.lines().skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  "));
    // What is further to the right goes on with a description.
    let commands = commands.filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let help = run(&[name, "--help"]).out;
        let (_, examples) = help.split_once("Examples:").expect(name);
        assert!(examples.contains(&format!("clerkwork {name}")), "{help}");
    }
}

#[test]
fn migrate_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("clerkwork.db").display());
    let migrate = || run(&["migrate", "--store", &store]).err;
    let first = migrate();
    assert!(first.contains("was empty"), "{first}");
    let second = migrate();
    assert!(second.contains("nothing was done"), "{second}");
}
