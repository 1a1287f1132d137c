//! Starting: wrong configuration ends with one sentence that says what to do.

use std::process::Stdio;
use std::time::Duration;

use clerkwork_tests::own::{self, Postgres};
use clerkwork_tests::{Kind, System};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// Runs the program to its end; returns its exit code and the last line of its standard error.
pub(crate) async fn refused(mut command: Command) -> (i32, String) {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(30), command.output()).await;
    let output = output.expect("it ends by itself").unwrap();
    assert!(!output.status.success(), "it must not start");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), stderr)
}

async fn clerk(system: &System, words: &[&str]) -> (i32, String) {
    let mut all = vec!["clerk", "--listen", "127.0.0.1:0", "--start-timeout", "1s"];
    all.extend(words);
    refused(system.program(&all)).await
}

#[tokio::test]
async fn an_unknown_setting_is_refused_with_a_suggestion() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let (code, said) = clerk(&system, &["--hartbeat", "1s"]).await;
    assert_eq!(code, 2);
    assert!(said.contains("heartbeat"), "{said}");
    let file = system.folder().join("wrong.toml");
    std::fs::write(&file, "wait-maxx = \"10s\"\n").unwrap();
    let (_, said) = clerk(&system, &["--config", &file.to_string_lossy()]).await;
    assert!(
        said.contains("wait-maxx") && said.contains("wait-max"),
        "{said}"
    );
}

#[tokio::test]
async fn all_values_out_of_range_are_named_at_once() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let (code, said) = clerk(&system, &["--wait-max", "2h", "--retention", "1h"]).await;
    assert_eq!(code, 2);
    for word in ["wait-max", "retention", "48h"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn a_store_that_is_older_is_refused_with_the_remedy() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let database = format!("{}_old", system.prefix());
    let services = clerkwork_tests::Services::shared();
    services.sql(&format!("CREATE DATABASE {database}")).await;
    let (code, said) = clerk(&system, &["--store", &services.store(&database)]).await;
    services
        .sql(&format!("DROP DATABASE {database} WITH (FORCE)"))
        .await;
    assert_eq!(code, 1);
    assert!(said.contains("clerkwork migrate"), "{said}");
}

#[tokio::test]
async fn a_postgresql_that_does_not_wait_for_its_disk_is_refused_in_one_sentence() {
    let Some(_turn) = own::turn().await else {
        return;
    };
    let mut postgres = Postgres::start().await;
    let services = postgres.services();
    // Starting a system migrates, so nothing but the one setting is wrong below.
    let system = Kind::Fleet.plan().on(services.clone()).clerks(0);
    let system = system.start().await;
    services.sql("ALTER SYSTEM SET fsync = off").await;
    postgres.kill();
    postgres.run().await;
    let commands: [&[&str]; 3] = [
        &["clerk", "--listen", "127.0.0.1:0"],
        &["migrate"],
        &["migrate", "--check"],
    ];
    for words in commands {
        let (code, said) = refused(system.program(words)).await;
        assert_eq!((code, said.lines().count()), (1, 1), "{words:?}: {said}");
        assert!(
            said.contains("fsync = off") && said.contains("turn it on"),
            "{words:?}: {said}"
        );
    }
}

#[tokio::test]
async fn services_that_do_not_answer_are_named_and_their_passwords_are_not() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let store = format!("postgres://me:secret@127.0.0.1:{port}/jobs");
    let (code, said) = clerk(&system, &["--store", &store]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("127.0.0.1") && !said.contains("secret"),
        "{said}"
    );
    let broker = format!("amqp://me:secret@127.0.0.1:{port}/%2F");
    let (code, said) = clerk(&system, &["--broker", &broker]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("127.0.0.1") && !said.contains("secret"),
        "{said}"
    );
    let words = [
        "worker",
        "--queue",
        "q",
        "--start-timeout",
        "1s",
        "--broker",
        &broker,
    ];
    let mut worker = system.program(&words);
    worker.args(["--", "cat"]);
    let (code, said) = refused(worker).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("127.0.0.1") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn the_user_guest_is_refused_where_the_broker_is_on_another_machine() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    // Nobody answers there: it is refused before anybody is asked.
    for broker in ["amqp://guest:guest@192.0.2.1/%2F", "amqps://rabbit.example"] {
        let (code, clerk_said) = clerk(&system, &["--broker", broker]).await;
        assert_eq!(code, 1);
        let mut worker = system.program(&["worker", "--queue", "q", "--broker", broker]);
        worker.args(["--", "cat"]);
        let (code, worker_said) = refused(worker).await;
        assert_eq!(code, 1);
        for said in [clerk_said, worker_said] {
            let told = ["guest", "rabbitmqctl add_user", "--broker"];
            assert!(told.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}

#[tokio::test]
async fn a_login_that_the_broker_refuses_names_the_setting_and_not_the_password() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let mut broker = reqwest::Url::parse(&clerkwork_tests::Services::shared().rabbit).unwrap();
    broker.set_password(Some("guessed-wrong")).unwrap();
    let (code, said) = clerk(&system, &["--broker", broker.as_str()]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("--broker") && !said.contains("guessed-wrong"),
        "{said}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let system = Kind::Fleet.plan().clerks(1).start().await;
    let taken = system.api().address().to_owned();
    let words = ["clerk", "--listen", &taken, "--start-timeout", "1s"];
    let (code, said) = refused(system.program(&words)).await;
    assert_eq!(code, 1);
    assert!(said.contains(&taken), "{said}");
}

#[tokio::test]
async fn a_public_address_is_refused_while_there_are_no_keys() {
    let system = Kind::Fleet.plan().clerks(0).start().await;
    let words = ["clerk", "--listen", "0.0.0.0:0", "--start-timeout", "1s"];
    let (code, said) = refused(system.program(&words)).await;
    assert_eq!(code, 2);
    assert!(
        said.contains("127.0.0.1") && said.contains("clerkwork key create"),
        "{said}"
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let system = Kind::Embedded.plan().start().await;
    let mut second = system.program(&["dev", "--listen", "127.0.0.1:0", "--data"]);
    second.arg(system.folder().join("data"));
    let (code, said) = refused(second).await;
    assert_eq!(code, 1);
    assert!(said.contains("another"), "{said}");
    assert_eq!(
        system
            .api()
            .try_submit(&serde_json::json!({"queue": "q", "input": 1}))
            .await
            .unwrap()
            .status(),
        202
    );
}
