//! Wrong configuration: a command that does not start says in a sentence what to do.

use crate::support::{Dev, Said, command, run};

fn refused(said: &Said, parts: &[&str]) {
    assert!(said.code == 1 || said.code == 2, "{said:?}");
    assert_eq!(said.out, "");
    for part in parts {
        assert!(said.err.contains(part), "{part} is not in {}", said.err);
    }
}

#[test]
fn dev_says_how_to_run_without_the_servers_that_do_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let dev = ["dev", "--listen", "127.0.0.1:0", "--start-timeout", "0s"];
    let said = command(&dev)
        .current_dir(folder.path())
        .env("CLERKWORK_BROKER", "amqp://guest:guest@127.0.0.1:1/%2F")
        .output()
        .unwrap();
    let said = Said::from(said);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("leave --broker and --store out"),
        "{said:?}"
    );
}

#[test]
fn a_folder_serves_one_process_and_the_first_goes_on() {
    let dev = Dev::start();
    let said = run(&["dev", "--listen", "127.0.0.1:0", "--data", &dev.data()]);
    refused(&said, &["clerkwork.db", "another process"]);
    assert_eq!(dev.run(&["list"]).code, 0);
    assert_eq!(dev.end(), 0, "it drains on SIGTERM");
}

#[test]
fn the_folder_of_the_record_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dev = Dev::start();
    let mode = std::fs::metadata(dev.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_store_of_a_running_dev_can_be_checked_beside_it() {
    let dev = Dev::start();
    let store = format!("sqlite:{}/clerkwork.db", dev.data());
    let said = run(&["migrate", "--check", "--store", &store]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let said = run(&["dev", "--listen", &address, "--data", data]);
    refused(&said, &[&address, "--listen"]);
}

#[test]
fn an_address_that_a_workers_health_cannot_have_is_told_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, code, why) in [
        ("nonsense", 2, "it is written like"),
        (&taken, 1, "choose another"),
    ] {
        let said = run(&[
            "worker",
            "--queue",
            "q",
            "--broker",
            "amqp://127.0.0.1:1",
            "--health-listen",
            address,
            "--",
            "cat",
        ]);
        refused(&said, &[address, why, "--health-listen"]);
        assert_eq!((said.code, said.err.lines().count()), (code, 1), "{said:?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let worker = "q=/no/such/program";
    let said = run(&[
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
        "--worker",
        worker,
    ]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("/no/such/program"), "{said:?}");
}

#[test]
fn all_wrong_settings_are_told_at_once() {
    let said = run(&[
        "dev",
        "--wait-max",
        "1h",
        "--window",
        "0",
        "--queue-type",
        "fast",
    ]);
    refused(
        &said,
        &[
            "3 settings",
            "--wait-max `1h`",
            "600s",
            "--window",
            "quorum or classic",
        ],
    );
}

#[test]
fn an_unknown_key_of_the_file_is_told_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("clerkwork.toml"), "wait_max = \"5s\"").unwrap();
    let output = command(&["dev"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    refused(
        &output.into(),
        &["wait_max in clerkwork.toml", "did you mean wait-max?"],
    );
}

#[test]
fn an_unknown_flag_is_told_with_a_suggestion() {
    refused(&run(&["dev", "--wait-maxx", "5s"]), &["--wait-max"]);
}

#[test]
fn a_public_address_is_refused_while_there_are_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let words = ["dev", "--listen", "0.0.0.0:0", "--data"];
    let output = command(&words).arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    refused(
        &output.into(),
        &["no API keys", "clerkwork key create", "127.0.0.1"],
    );
}

#[test]
fn services_that_stay_away_end_the_start_with_the_reason() {
    let said = run(&[
        "clerk",
        "--listen",
        "127.0.0.1:0",
        "--start-timeout",
        "0s",
        "--log",
        "error",
        "--store",
        "postgres://u:hush@127.0.0.1:1/d",
        "--broker",
        "amqp://u:hush@127.0.0.1:1",
    ]);
    assert_eq!(said.code, 1);
    refused(&said, &["--store", "--start-timeout"]);
    assert!(!said.err.contains("hush"), "{said:?}");
    let said = run(&[
        "worker",
        "--queue",
        "q",
        "--start-timeout",
        "0s",
        "--log",
        "error",
        "--broker",
        "amqp://u:hush@127.0.0.1:1",
        "--",
        "cat",
    ]);
    assert_eq!(said.code, 1);
    refused(&said, &["--broker", "--start-timeout"]);
    assert!(!said.err.contains("hush"), "{said:?}");
}

#[test]
fn a_worker_runs_a_command_or_calls_a_service_and_not_both() {
    let worker = |more: &[&str]| run(&[&["worker", "--queue", "q"], more].concat());
    let url = "http://127.0.0.1:9000/";
    for (more, why) in [
        (vec![], "--http"),
        (vec!["--http", url, "--", "cat"], "cannot be used with"),
        (vec!["--http", url, "--env", "A"], "cannot be used with"),
        (
            vec!["--http", url, "--output-type", "a/b"],
            "cannot be used with",
        ),
        (vec!["--http", "ftp://h/"], "http://127.0.0.1:9000/jobs"),
        (
            vec!["--http", "127.0.0.1:9000"],
            "http://127.0.0.1:9000/jobs",
        ),
    ] {
        let said = worker(&more);
        refused(&said, &[why]);
        assert_eq!(said.code, 2, "{said:?}");
    }
}

#[test]
fn a_fleet_that_is_not_named_is_asked_for() {
    refused(
        &run(&["clerk"]),
        &["--store is not set", "--broker is not set"],
    );
    refused(
        &run(&["worker", "--", "cat"]),
        &["--broker is not set", "--queue is not set"],
    );
    refused(&run(&["migrate"]), &["--store is not set"]);
}
