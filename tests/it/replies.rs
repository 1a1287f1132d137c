//! Replies that are malformed, forged, late or too large, among good ones.

use std::time::Duration;

use clerkwork_core::{JobObject, Status};
use clerkwork_tests::{Bus, Kind, Process, System, eventually};
use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::types::FieldTable;
use serde_json::{Value, json};

#[tokio::test]
async fn bad_replies_among_good_ones_change_nothing_hold_up_nobody_and_are_counted() {
    // One clerk, which takes the replies in their order.
    let mut system = Kind::Fleet
        .plan()
        .clerks(1)
        .queue("late")
        .command("echo", 4, &["cat"])
        .start()
        .await;
    let api = system.api();
    let bus = system.bus().await;
    // A good correlation id of a job that is over: what a late or repeated reply carries.
    let late = replayable(&system, &bus).await;
    let vast = api.send("late", json!(0)).await;
    let (vast_correlation, _) = taken(&bus, "late").await;
    let replies = bus.names().replies();
    let mut jobs = Vec::new();
    for number in 0..200 {
        if number % 10 == 0 {
            bad_reply(&bus, number / 10, &late).await;
        }
        if number == 100 {
            let vast = vec![0; 5 << 20];
            bus.publish("", &replies, reply(&vast_correlation), &vast)
                .await;
        }
        jobs.push(api.send("echo", json!(number)).await);
    }
    let ended = join_all(jobs.iter().map(|job| api.ended(job))).await;
    for (number, job) in ended.iter().enumerate() {
        assert_eq!(job.status, Status::Succeeded, "{job:?}");
        assert_eq!(job.output.as_ref().unwrap().get(), number.to_string());
    }
    let again = api.job(late.job.id).await;
    assert_eq!(
        again.output.unwrap().get(),
        r#""first""#,
        "the first outcome stands"
    );
    let error = serde_json::to_value(api.ended(&vast).await.error.unwrap()).unwrap();
    assert_eq!(error["type"], "urn:clerkwork:problem:output-too-large");
    // Its reply comes after all the others, so they are counted when it has ended.
    api.run("echo", json!("last")).await;
    eventually(
        "every reply is settled",
        Duration::from_secs(20),
        async || (bus.depth(&replies).await == 0).then_some(()),
    )
    .await;
    bus.close().await;
    system.clerks[0].process.terminate().await;
    let counted = ["forged", "late", "unfit", "broken", "aside"]
        .map(|count| (count, dropped(&system.clerks[0].process, count)));
    let sent = [8, 7, 1, 5, 0];
    assert_eq!(counted.map(|(_, number)| number), sent, "{counted:?}");
}

#[tokio::test]
async fn a_success_whose_output_is_no_json_fails_its_own_job_alone() {
    let system = Kind::Fleet
        .plan()
        .queue("plain")
        .command("echo", 2, &["cat"])
        .start()
        .await;
    let api = system.api();
    let bus = system.bus().await;
    let job = api.send("plain", json!(1)).await;
    let (correlation, _) = taken(&bus, "plain").await;
    let properties = reply(&correlation).with_content_type("application/json".into());
    bus.publish("", &bus.names().replies(), properties, b"{not json")
        .await;
    assert_eq!(api.run("echo", json!(2)).await.status, Status::Succeeded);
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Failed);
    let error = serde_json::to_value(job.error.unwrap()).unwrap();
    assert_eq!(error["type"], "urn:clerkwork:problem:invalid-output");
    bus.close().await;
}

#[tokio::test]
async fn a_failure_of_an_older_attempt_changes_nothing() {
    let system = Kind::Fleet.plan().queue("plain").start().await;
    let api = system.api();
    let bus = system.bus().await;
    let spec = json!({"queue": "plain", "input": 1, "retry_delay_s": 0});
    let job = api.submit(&spec).await;
    let (first, _) = taken(&bus, "plain").await;
    fail(&bus, &first).await;
    let (second, _) = taken(&bus, "plain").await;
    assert_ne!(first, second);
    // The same failure over and over: counted once, or the job would be out of attempts.
    for _ in 0..5 {
        fail(&bus, &first).await;
    }
    let replies = bus.names().replies();
    bus.publish("", &replies, reply(&second), br#""second""#)
        .await;
    let job = api.ended(&job).await;
    assert_eq!((job.status, job.attempt), (Status::Succeeded, 2), "{job:?}");
    bus.close().await;
}

/// What a clerk's log says of the replies that it dropped: one of the counts, over all its lines.
fn dropped(clerk: &Process, count: &str) -> u64 {
    let log = clerk.complaints();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["message"] == "replies were dropped")
        .filter_map(|line| line[count].as_u64())
        .sum()
}

struct Late {
    job: JobObject,
    correlation: String,
}

/// Answers a job by hand, and keeps its correlation id.
async fn replayable(system: &System, bus: &Bus) -> Late {
    let api = system.api();
    let job = api.send("late", json!(0)).await;
    let (correlation, _) = taken(bus, "late").await;
    let replies = bus.names().replies();
    bus.publish("", &replies, reply(&correlation), br#""first""#)
        .await;
    let job = api.ended(&job).await;
    assert_eq!(job.status, Status::Succeeded);
    Late { job, correlation }
}

async fn bad_reply(bus: &Bus, number: usize, late: &Late) {
    let replies = bus.names().replies();
    let forged = late
        .correlation
        .replace(|letter: char| letter.is_ascii_digit(), "A");
    let pack = BasicProperties::default().with_type("replies".into());
    let mut headers = FieldTable::default();
    headers.insert("outcome".into(), lapin::types::AMQPValue::LongLongInt(7));
    headers.insert("retry".into(), lapin::types::AMQPValue::Void);
    let (properties, body): (BasicProperties, Vec<u8>) = match number % 8 {
        0 => (BasicProperties::default(), b"no correlation".to_vec()),
        1 => (reply(&forged), b"forged".to_vec()),
        2 => (reply(&late.correlation), br#""late""#.to_vec()),
        3 => (pack, vec![0xff; 64]),
        4 => (pack, [&[0, 0, 0, 2], b"{}".as_slice(), &[0xff; 4]].concat()),
        5 => (reply(&"x".repeat(255)), vec![0; 5 << 20]),
        6 => (
            reply(&late.correlation).with_headers(headers),
            b"odd headers".to_vec(),
        ),
        _ => (
            reply(&late.correlation).with_type("surprise".into()),
            b"odd type".to_vec(),
        ),
    };
    bus.publish("", &replies, properties, &body).await;
}

async fn fail(bus: &Bus, correlation: &str) {
    let mut headers = FieldTable::default();
    let word = lapin::types::LongString::from("failed");
    headers.insert("outcome".into(), lapin::types::AMQPValue::LongString(word));
    let replies = bus.names().replies();
    bus.publish(
        "",
        &replies,
        reply(correlation).with_headers(headers),
        b"it broke",
    )
    .await;
}

/// Takes the delivery of a job, as a worker would.
async fn taken(bus: &Bus, queue: &str) -> (String, Vec<u8>) {
    let queue = bus.names().jobs(queue);
    eventually("a job is dispatched", Duration::from_secs(20), async || {
        bus.take(&queue).await
    })
    .await
}

fn reply(correlation: &str) -> BasicProperties {
    let correlation = lapin::types::ShortString::from(correlation);
    BasicProperties::default()
        .with_correlation_id(correlation)
        .with_delivery_mode(2)
}
