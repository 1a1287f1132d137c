//! A job followed live with our own client and our own command, on real clerks.

use std::time::Duration;

use clerkwork_client::{Client, Event, Events};
use clerkwork_core::Status;
use clerkwork_tests::{Api, Kind, Plan, claims};
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

claims! {
    watch_prints_all_that_a_command_tells_and_its_output,
    the_clients_events_end_with_the_final_state,
}

/// Tells two events, and ends when there is a file `go`.
const TELLS: &str = r#"echo 'progress 0.5 half way' >&3; echo 'chunk {"page":1}' >&3
    until [ -e "$GO/go" ]; do sleep 0.05; done; echo done"#;

fn plan(kind: Kind) -> Plan {
    // A command's folder is its own, so it is told where the test's is.
    let plan = kind.plan();
    let folder = plan.file("").display().to_string();
    plan.shell("tell", 1, &TELLS.replace("$GO", &folder))
}

fn client(api: &Api) -> Client {
    Client::new(api.base()).unwrap()
}

async fn next(events: &mut Events) -> Option<(String, Event)> {
    let told = timeout(PATIENCE, events.next())
        .await
        .expect("an event in time");
    told.unwrap().map(|told| (told.id, told.event))
}

/// Waits for the progress that the command tells.
async fn half_way(events: &mut Events) -> String {
    loop {
        let (id, event) = next(events).await.expect("progress before the end");
        if matches!(&event, Event::Progress(it) if it.fraction == Some(0.5)) {
            return id;
        }
    }
}

/// The rest of the events, each as its kind; the job must have succeeded.
async fn rest(events: &mut Events) -> Vec<String> {
    let (mut kinds, mut last) = (Vec::new(), None);
    while let Some((_, event)) = next(events).await {
        let json = serde_json::to_value(&event).unwrap();
        kinds.push(json["event"].as_str().unwrap().to_owned());
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::State(job)) if job.status == Status::Succeeded));
    kinds
}

async fn watch_prints_all_that_a_command_tells_and_its_output(kind: Kind) {
    let plan = plan(kind);
    let go = plan.file("go");
    let system = plan.start().await;
    let api = system.api();
    let job = api.send("tell", json!(null)).await;
    let id = job.id.to_string();
    let watch = |more: &[&str]| {
        let words = [&["watch", &id, "--url", api.base()], more].concat();
        system.run("watch", {
            let mut command = tokio::process::Command::new(clerkwork_tests::clerkwork());
            command.args(words);
            command
        })
    };
    let mut lines = watch(&["-o", "jsonl"]);
    lines.line_with("half way").await;
    lines.line_with("\"page\":1").await;
    std::fs::write(go, "").unwrap();
    assert!(lines.ended_within(PATIENCE).await.success());
    let said = lines.said();
    let events: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        events.last().unwrap()["data"]["status"],
        "succeeded",
        "{said}"
    );
    let mut later = watch(&[]);
    assert!(later.ended_within(PATIENCE).await.success());
    assert_eq!(later.said(), "done\n");
}

async fn the_clients_events_end_with_the_final_state(kind: Kind) {
    let plan = plan(kind);
    let go = plan.file("go");
    let system = plan.start().await;
    let api = system.api();
    let job = api.send("tell", json!(null)).await;
    let mut events = client(&api).events(job.id);
    let position = half_way(&mut events).await;
    std::fs::write(go, "").unwrap();
    let kinds = rest(&mut events).await;
    assert!(kinds.contains(&"chunk".to_owned()), "{kinds:?}");
    // Whoever was cut off after the progress gets the rest, and no progress again.
    let mut again = client(&api).events_after(job.id, &position);
    let kinds = rest(&mut again).await;
    assert!(!kinds.contains(&"progress".to_owned()), "{kinds:?}");
}

#[tokio::test]
async fn a_position_of_a_clerk_that_was_killed_goes_on_at_another() {
    let plan = plan(Kind::Fleet);
    let go = plan.file("go");
    let mut system = plan.start().await;
    let job = system.clerk(0).send("tell", json!(null)).await;
    let mut events = client(&system.clerk(0)).events(job.id);
    let position = half_way(&mut events).await;
    drop(events);
    system.clerks[0].process.kill().await;
    let mut events = client(&system.clerk(1)).events_after(job.id, &position);
    std::fs::write(go, "").unwrap();
    let kinds = rest(&mut events).await;
    assert!(!kinds.contains(&"progress".to_owned()), "{kinds:?}");
    assert!(
        kinds.iter().any(|kind| kind == "chunk" || kind == "gap"),
        "{kinds:?}"
    );
}
