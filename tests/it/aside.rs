//! Good replies that fit no job: for the operator where the store should know the job, else only counted.

use std::time::Duration;

use clerkwork_core::{Clock as _, Correlation, JobId, Seal, Secret, Status, SystemClock};
use clerkwork_tests::{Bus, Kind, Plan, System, eventually};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const SOON: Duration = Duration::from_secs(20);

fn reply(correlation: &str) -> BasicProperties {
    BasicProperties::default()
        .with_correlation_id(correlation.into())
        .with_content_type("text/plain".into())
}

fn with_header(properties: BasicProperties, name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    properties.with_headers(headers)
}

/// The correlation ids of the jobs that are dispatched to a queue nobody reads.
async fn taken(bus: &Bus, queue: &str) -> String {
    let queue = bus.names().jobs(queue);
    let taken = eventually("it is on the queue", SOON, async || bus.take(&queue).await);
    taken.await.0
}

/// A clerk with a queue that no worker reads.
async fn start(plan: Plan) -> System {
    let system = plan.clerks(1).queue("plain").start().await;
    let api = system.api();
    eventually("the clerk has its broker", SOON, async || {
        (api.look("/readyz").await?.1["broker"] == "up").then_some(())
    })
    .await;
    api.json(Method::PUT, "/queues/plain", None).await;
    system
}

/// What the store seals correlation ids with, as whoever restores it would know.
async fn seal(store: &mut PgConnection) -> Seal {
    let rows = sqlx::query_as::<_, (i16, Vec<u8>)>("select id, bytes from secrets order by id");
    let secrets = rows.fetch_all(store).await.unwrap().into_iter();
    let secrets = secrets.map(|(id, bytes)| Secret {
        id: id.try_into().unwrap(),
        bytes: bytes.try_into().unwrap(),
    });
    Seal::new(secrets.collect()).unwrap()
}

/// How many replies a clerk that has ended says it has dropped, by why.
async fn counted<const N: usize>(system: &mut System, counts: [&str; N]) -> [u64; N] {
    let clerk = &mut system.clerks[0].process;
    assert!(clerk.terminate().await.success());
    let log = clerk.complaints();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "replies were dropped");
    let lines: Vec<Value> = lines.collect();
    counts.map(|count| lines.iter().filter_map(|line| line[count].as_u64()).sum())
}

#[tokio::test]
async fn a_reply_for_a_job_that_the_store_has_lost_waits_for_the_operator() {
    let mut system = start(Kind::Fleet.plan()).await;
    let (api, bus) = (system.api(), system.bus().await);
    let mut correlations = Vec::new();
    let mut jobs = Vec::new();
    for number in 0..3 {
        jobs.push(api.send("plain", json!(number)).await);
        correlations.push(taken(&bus, "plain").await);
    }
    let mut store = PgConnection::connect(&system.store()).await.unwrap();
    for job in &jobs[..2] {
        let id: uuid::Uuid = job.id.to_string().parse().unwrap();
        let gone = sqlx::query("delete from jobs where id = $1").bind(id);
        assert_eq!(gone.execute(&mut store).await.unwrap().rows_affected(), 1);
    }
    let replies = bus.names().replies();
    bus.publish("", &replies, reply(&correlations[0]), b"a success")
        .await;
    let failed = AMQPValue::LongString(LongString::from("failed"));
    let failed = with_header(reply(&correlations[1]), "outcome", failed);
    bus.publish("", &replies, failed, b"a failure").await;
    // Their neighbour is recorded.
    bus.publish("", &replies, reply(&correlations[2]), b"known")
        .await;
    assert_eq!(api.ended(&jobs[2]).await.status, Status::Succeeded);
    let aside = bus.names().aside();
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(eventually("it is put aside", SOON, async || bus.take(&aside).await).await);
    }
    kept.sort_by_key(|(correlation, _)| *correlation == correlations[1]);
    assert_eq!(kept[0], (correlations[0].clone(), b"a success".to_vec()));
    assert_eq!(kept[1], (correlations[1].clone(), b"a failure".to_vec()));
    eventually("all are settled", SOON, async || {
        (bus.depth(&replies).await == 0).then_some(())
    })
    .await;
    bus.close().await;
    let counts = counted(&mut system, ["aside", "late", "forged"]).await;
    assert_eq!(counts, [2, 0, 0]);
}

#[tokio::test]
async fn a_reply_for_a_job_past_its_retention_is_counted_and_dropped() {
    let plan = Kind::Fleet.plan().clerk_setting("retention", "48h");
    let mut system = start(plan).await;
    let (api, bus) = (system.api(), system.bus().await);
    let mut store = PgConnection::connect(&system.store()).await.unwrap();
    let seal = seal(&mut store).await;
    let job = api.send("plain", json!(1)).await;
    let known = taken(&bus, "plain").await;
    let clerk = seal.open(&known).unwrap().clerk;
    let now = SystemClock::new().now();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let of = |job: JobId| Correlation {
        job,
        attempt: 1,
        rev: 1,
        clerk,
    };
    let replies = bus.names().replies();
    for (age, body) in [(hours(49), "too old"), (hours(47), "not too old")] {
        let correlation = seal.seal(&of(JobId::at(now.before(age))));
        bus.publish("", &replies, reply(&correlation), body.as_bytes())
            .await;
    }
    bus.publish("", &replies, reply(&known), b"known").await;
    assert_eq!(api.ended(&job).await.status, Status::Succeeded);
    let aside = bus.names().aside();
    let (_, body) = eventually("it is put aside", SOON, async || bus.take(&aside).await).await;
    assert_eq!(body, b"not too old");
    assert_eq!(bus.depth(&aside).await, 0);
    bus.close().await;
    let counts = counted(&mut system, ["aside", "late", "forged"]).await;
    assert_eq!(counts, [1, 1, 0]);
}

#[tokio::test]
async fn a_reply_of_a_later_version_waits_and_its_job_stays_open_for_a_right_one() {
    let mut system = start(Kind::Fleet.plan()).await;
    let (api, bus) = (system.api(), system.bus().await);
    let job = api.send("plain", json!(1)).await;
    let correlation = taken(&bus, "plain").await;
    let replies = bus.names().replies();
    let later = with_header(
        reply(&correlation),
        "clerkwork-version",
        AMQPValue::LongLongInt(2),
    );
    bus.publish("", &replies, later, b"of tomorrow").await;
    let aside = bus.names().aside();
    let kept = eventually("it is put aside", SOON, async || bus.take(&aside).await).await;
    assert_eq!(kept, (correlation.clone(), b"of tomorrow".to_vec()));
    assert_eq!(api.job(job.id).await.status, Status::Queued);
    bus.publish("", &replies, reply(&correlation), b"of today")
        .await;
    assert_eq!(api.ended(&job).await.status, Status::Succeeded);
    bus.close().await;
    assert_eq!(counted(&mut system, ["aside", "late"]).await, [1, 0]);
}
