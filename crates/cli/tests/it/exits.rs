//! The exit codes: one test for each, with every way to come to it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::support::{Dev, command, run};

#[test]
fn exit_0_is_a_job_that_succeeded_and_whatever_else_was_done_as_asked() {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "1"]);
    for words in [
        &["submit", "shout", "1", "--wait=20"][..],
        &["wait", &id],
        &["watch", &id],
        &["output", &id],
        &["get", &id],
        // It is too late for that, and no error.
        &["cancel", &id],
        &["list"],
        &["queue", "list"],
        &["delete", &id, "--yes"],
        &["version"],
    ] {
        let said = dev.run(words);
        assert_eq!(said.code, 0, "{words:?} {said:?}");
    }
}

#[test]
fn exit_1_is_what_the_state_of_a_job_forbids_and_whatever_else_went_wrong() {
    let dev = Dev::start();
    let id = dev.submit(&["linger", "1"]);
    let done = dev.submit(&["shout", "1"]);
    assert_eq!(dev.run(&["wait", &done]).code, 0);
    for words in [
        ["output", &id],
        ["delete", &id],
        ["retry", &id],
        ["retry", &done],
    ] {
        let said = dev.run(&words);
        assert_eq!(
            (said.code, said.out.as_str()),
            (1, ""),
            "{words:?} {said:?}"
        );
        assert!(!said.err.is_empty());
    }
}

#[test]
fn exit_2_is_a_command_line_or_an_input_that_does_not_fit() {
    let dev = Dev::start();
    for (words, why) in [
        (&["submit", "UPPER", "1"][..], "queue"),
        (&["submit", "shout"], "there is no input"),
        (
            &["submit", "shout", "--wait", "20"],
            "did you mean --wait=20?",
        ),
        (
            &["submit", "shout", "--wait", "5m"],
            "did you mean --wait=5m?",
        ),
        (&["submit", "shout", "{oops"], "@FILE"),
        (&["submit", "shout", "@/no/such"], "/no/such"),
        (&["submit", "shout", "1", "--timeout", "8d"], "timeout_s"),
        (&["submit", "shout", "1", "--delay", "soon"], "250ms"),
        (&["list", "--status", "done"], "succeeded"),
        (&["queue", "purge", "shout"], "--yes"),
        (&["list", "--url", "nowhere"], "http://127.0.0.1:8080"),
        (&["get"], "<ID>"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let said = dev.run(words);
        assert_eq!(
            (said.code, said.out.as_str()),
            (2, ""),
            "{words:?} {said:?}"
        );
        assert!(said.err.contains(why), "{words:?} {said:?}");
    }
}

#[test]
fn exit_3_is_a_job_that_failed() {
    let dev = Dev::start();
    let said = dev.run(&["submit", "stumble", "1", "--max-attempts", "1", "--wait"]);
    assert_eq!((said.code, said.out.as_str()), (3, ""));
    assert!(said.err.contains("failed"), "{said:?}");
    let id = dev.submit(&["stumble", "1", "--max-attempts", "1"]);
    for words in [["wait", &id], ["watch", &id], ["output", &id]] {
        let said = dev.run(&words);
        assert_eq!(
            (said.code, said.out.as_str()),
            (3, ""),
            "{words:?} {said:?}"
        );
        assert!(said.err.contains("failed"), "{said:?}");
    }
}

#[test]
fn exit_4_is_a_job_that_was_cancelled_or_has_expired() {
    let dev = Dev::start();
    let cancelled = dev.submit(&["linger", "1"]);
    assert_eq!(dev.run(&["cancel", &cancelled]).code, 0);
    // What no worker may have been given expires at once.
    assert_eq!(dev.run(&["queue", "declare", "later"]).code, 0);
    assert_eq!(dev.run(&["queue", "pause", "later"]).code, 0);
    let expired = dev.submit(&["later", "1", "--start-within", "1s"]);
    for (id, word) in [(&cancelled, "cancelled"), (&expired, "expired")] {
        for words in [["wait", id], ["watch", id], ["output", id]] {
            let said = dev.run(&words);
            assert_eq!(
                (said.code, said.out.as_str()),
                (4, ""),
                "{words:?} {said:?}"
            );
            assert!(said.err.contains(word), "{said:?}");
        }
    }
}

#[test]
fn exit_5_is_a_wait_that_is_over_while_the_job_goes_on_and_prints_its_id() {
    let dev = Dev::start();
    let id = dev.submit(&["linger", "1"]);
    for words in [
        &["submit", "linger", "1", "--key", "k", "--wait=1"][..],
        &["wait", &id, "--timeout", "0"],
        &["watch", &id, "--timeout", "1"],
    ] {
        let said = dev.run(words);
        assert_eq!(said.code, 5, "{words:?} {said:?}");
        let id = said.out.trim();
        assert!(
            said.err.contains(&format!("clerkwork wait {id}")),
            "{said:?}"
        );
        let job = dev.run(&["get", id]);
        assert!(
            job.out.contains("running") || job.out.contains("queued"),
            "{job:?}"
        );
    }
}

#[test]
fn exit_6_is_a_job_or_a_queue_that_is_not_there() {
    let dev = Dev::start();
    let nobodys = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
    for id in [nobodys, "no-id"] {
        for act in [
            "get",
            "wait",
            "watch",
            "output",
            "cancel",
            "retry",
            "attempts",
            "redeliver",
            "delete",
        ] {
            let said = dev.run(&[act, id]);
            assert_eq!((said.code, said.out.as_str()), (6, ""), "{act} {said:?}");
        }
    }
    assert_eq!(dev.run(&["queue", "pause", "nowhere"]).code, 6);
}

#[test]
fn exit_7_is_no_key_where_one_is_needed_or_one_that_may_not_do_this() {
    let dev = Dev::start();
    let store = format!("sqlite:{}/clerkwork.db", dev.data());
    let make = [
        "key", "create", "--tenant", "a", "--role", "client", "--store",
    ];
    let made = run(&[&make[..], &[&store]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let key = made.out.trim();
    let wrong = format!("{}{}", &key[..key.len() - 4], "AAAA");
    for words in [
        &["list", "--api-key", &wrong][..],
        &["queue", "list", "--api-key", key],
        &["list"],
    ] {
        let said = dev.run(words);
        assert_eq!(
            (said.code, said.out.as_str()),
            (7, ""),
            "{words:?} {said:?}"
        );
        assert!(said.err.contains("CLERKWORK_API_KEY"), "{said:?}");
    }
    assert_eq!(dev.run(&["list", "--api-key", key]).code, 0);
}

#[test]
fn exit_8_is_a_server_that_cannot_be_reached() {
    for words in [
        &["list"][..],
        &["submit", "q", "1", "--wait"],
        &["queue", "list"],
    ] {
        let said = run(&[words, &["--url", "http://127.0.0.1:1"]].concat());
        assert_eq!((said.code, said.out.as_str()), (8, ""), "{said:?}");
        assert!(said.err.contains("--url"), "{said:?}");
    }
}

#[test]
fn exit_130_is_an_interruption_and_the_job_goes_on() {
    let dev = Dev::start();
    let id = dev.submit(&["linger", "1"]);
    for words in [
        &["wait", &id][..],
        &["watch", &id],
        &["submit", "linger", "1", "--wait"],
    ] {
        let mut waiting = command(words);
        waiting.env("CLERKWORK_URL", &dev.url).stdout(Stdio::null());
        let mut waiting = waiting.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut errors = BufReader::new(waiting.stderr.take().unwrap());
        errors.read_line(&mut said).unwrap();
        let pid = nix::unistd::Pid::from_raw(waiting.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        assert_eq!(waiting.wait().unwrap().code(), Some(130), "{words:?}");
        let of = said.split(' ').next().unwrap();
        let job = dev.run(&["get", of]);
        assert!(
            job.out.contains("running") || job.out.contains("queued"),
            "{job:?}"
        );
    }
}
