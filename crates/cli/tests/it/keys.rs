//! `key`: made, used and revoked while the server runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Dev, Said, run};

fn key(dev: &Dev, words: &[&str]) -> Said {
    let store = format!("sqlite:{}/clerkwork.db", dev.data());
    run(&[&["key"], words, &["--store", &store]].concat())
}

fn created(dev: &Dev, words: &[&str]) -> String {
    let said = key(dev, &[&["create"], words].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    said.out.trim().to_owned()
}

#[test]
fn a_key_is_made_used_listed_and_revoked_beside_a_running_server() {
    let dev = Dev::start();
    let operator = created(&dev, &["--tenant", "acme", "--role", "operator"]);
    let client = created(
        &dev,
        &[
            "--tenant",
            "acme",
            "--role",
            "client",
            "--queue",
            "shout",
            "--note",
            "for tests",
        ],
    );
    assert!(
        operator.starts_with("cwk_") && operator.len() == 56,
        "{operator}"
    );
    let with = |key: &str, words: &[&str]| dev.run(&[words, &["--api-key", key]].concat());
    let said = with(&client, &["submit", "shout", "\"abc\"", "--wait"]);
    assert_eq!((said.code, said.out.as_str()), (0, "\"ABC\""));
    assert_eq!(with(&operator, &["queue", "list"]).code, 0);
    for forbidden in [&["queue", "list"][..], &["submit", "ponder", "1"]] {
        assert_eq!(with(&client, forbidden).code, 7, "{forbidden:?}");
    }
    let without = dev.run(&["list"]);
    assert_eq!(without.code, 7, "{without:?}");
    assert!(without.err.contains("CLERKWORK_API_KEY"), "{without:?}");

    let id = &client[4..12];
    let list = key(&dev, &["list"]);
    assert!(
        list.out.contains(id) && list.out.contains("for tests"),
        "{list:?}"
    );
    let list: Value = serde_json::from_str(&key(&dev, &["list", "-o", "json"]).out).unwrap();
    let second = &list["keys"][1];
    assert_eq!(
        (&second["id"], &second["role"]),
        (&Value::from(id), &Value::from("client"))
    );
    assert_eq!(second["queues"], serde_json::json!(["shout"]));
    let everything = format!("{list} {:?}", key(&dev, &["list"]));
    assert!(!everything.contains(&client[13..]) && !everything.contains(&operator[13..]));

    let revoked = Instant::now();
    assert_eq!(key(&dev, &["revoke", id]).code, 0);
    while with(&client, &["list"]).code != 7 {
        assert!(revoked.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(with(&operator, &["list"]).code, 0);
    assert_eq!(key(&dev, &["revoke", "unknown0"]).code, 6);
}

#[test]
fn a_key_may_be_made_before_the_first_start_and_opens_a_public_address() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = format!("sqlite:{}/clerkwork.db", data.display());
    let place = ["--store", store.as_str()];
    let nothing = run(&[&["key", "list"][..], &place].concat());
    assert_eq!(nothing.code, 1, "{nothing:?}");
    assert!(nothing.err.contains("--store"), "{nothing:?}");
    let make = [
        "key", "create", "--tenant", "a", "--role", "operator", "-o", "json",
    ];
    let said = run(&[&make[..], &place].concat());
    let made: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(made["key"].as_str().unwrap().len(), 56);
    let mut dev = crate::support::command(&["dev", "--listen", "0.0.0.0:0", "--data"])
        .arg(&data)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(dev.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.contains("listening on"), "{line}");
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[test]
fn the_log_says_at_the_start_who_may_do_what() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log_of_a_start = || {
        let mut dev =
            crate::support::command(&["dev", "--listen", "127.0.0.1:0", "--log", "info", "--data"])
                .arg(&data)
                .stdout(std::process::Stdio::piped())
                .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
                .spawn()
                .unwrap();
        let mut out = std::io::BufReader::new(dev.stdout.take().unwrap());
        // It listens once it has said so.
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        dev.kill().unwrap();
        dev.wait().unwrap();
        std::fs::read_to_string(folder.path().join("log")).unwrap()
    };
    let open = "every caller on this machine is the tenant default and an operator";
    let shut = "every caller needs an API key";
    let log = log_of_a_start();
    assert!(log.contains(open) && !log.contains(shut), "{log}");
    let store = format!("sqlite:{}/clerkwork.db", data.display());
    let make = [
        "key", "create", "--tenant", "a", "--role", "client", "--store", &store,
    ];
    assert_eq!(run(&make).code, 0);
    let log = log_of_a_start();
    assert!(log.contains(shut) && !log.contains(open), "{log}");
}

#[test]
fn what_can_be_no_key_is_refused_in_words() {
    for (words, mark) in [
        (
            &["create", "--tenant", "a b", "--role", "client"][..],
            "A-Z",
        ),
        (
            &["create", "--tenant", "a", "--role", "boss"],
            "client or operator",
        ),
        (
            &[
                "create", "--tenant", "a", "--role", "client", "--queue", "A",
            ],
            "a-z",
        ),
        (&["create", "--role", "client"], "--tenant"),
        (&["revoke", "x"], "key list"),
    ] {
        let said = run(&[&["key"], words, &["--store", "sqlite:/nowhere/x.db"]].concat());
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(mark), "{said:?}");
    }
    let said = run(&["key", "list"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("--store is not set"), "{said:?}");
}
