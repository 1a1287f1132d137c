//! A queue on the broker that is not as it should be, and one that is deleted.

use std::time::Duration;

use clerkwork_core::Status;
use clerkwork_tests::{Kind, eventually};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_mismatched_queue_stops_no_other_and_is_named() {
    let plan = Kind::Fleet.plan().clerks(1).queue("foo");
    let mut system = plan.command("work", 2, &["cat"]).start().await;
    assert_eq!(
        system.api().run("work", json!(0)).await.status,
        Status::Succeeded
    );
    system.clerks[0].process.kill().await;
    let bus = system.bus().await;
    let name = bus.names().jobs("foo");
    bus.delete(&name).await;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    let classic = AMQPValue::LongString(LongString::from("classic"));
    arguments.insert("x-queue-type".into(), classic);
    let declared = bus
        .channel()
        .queue_declare(name.as_str().into(), options, arguments);
    declared.await.unwrap();
    system.restart_clerk(0).await;
    let api = system.api();
    assert_eq!(api.run("work", json!(1)).await.status, Status::Succeeded);
    let named = eventually("it is named", LIMIT, async || {
        let (status, ready) = api.look("/readyz").await?;
        assert_eq!(status, 200, "{ready}");
        Some(ready["mismatched_queues"].clone()).filter(|named| !named.is_null())
    });
    assert_eq!(named.await, json!([name]));
    let refusal = api.refusal(api.request(Method::PUT, "/queues/foo")).await;
    assert_eq!(
        (refusal.status, &*refusal.kind),
        (409, "urn:clerkwork:problem:queue-mismatch")
    );
    let detail = refusal.detail.unwrap_or_default();
    assert!(detail.contains("inequivalent arg 'x-"), "{detail}");
    bus.delete(&name).await;
    eventually("it is declared anew", LIMIT, async || {
        let (_, ready) = api.look("/readyz").await?;
        ready["mismatched_queues"].is_null().then_some(())
    })
    .await;
    bus.close().await;
}

#[tokio::test]
async fn a_deleted_queue_is_forgotten_by_every_clerk() {
    let mut system = Kind::Fleet.plan().start().await;
    system.clears("old");
    system.clerk(0).json(Method::PUT, "/queues/old", None).await;
    // The other clerk knows it, too.
    let job = system.clerk(1).send("old", json!(1)).await;
    let url = system.api().base().to_owned();
    let delete = async || {
        let words = ["queue", "delete", "old", "--yes", "--url", &url];
        system.program(&words).output().await.unwrap()
    };
    let refused = delete().await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && told.contains("not done"),
        "{told}"
    );
    system.clerk(1).cancel(job.id).await;
    // The message of the cancelled job would keep the broker's queue.
    let bus = system.bus().await;
    bus.purge(&bus.names().jobs("old")).await;
    let deleted = delete().await;
    assert!(deleted.status.success(), "{deleted:?}");
    for clerk in 0..2 {
        let api = system.clerk(clerk);
        eventually("it is forgotten", LIMIT, async || {
            let spec = json!({"queue": "old", "input": 1, "delay_s": 3600});
            let answer = api.try_submit(&spec).await.ok()?;
            (answer.status().as_u16() == 404).then_some(())
        })
        .await;
    }
    assert_eq!(bus.try_depth(&bus.names().jobs("old")).await, None);
    bus.close().await;
}

#[tokio::test]
async fn what_went_with_a_deleted_queue_runs_once_it_is_there_again() {
    // Nothing else finds them so soon.
    let plan = Kind::Fleet.plan().clerks(1).queue("gone");
    let system = plan.clerk_setting("margin", "600s").start().await;
    let (api, bus) = (system.api(), system.bus().await);
    let name = bus.names().jobs("gone");
    let _consumer = bus.attract(&name).await;
    let jobs = futures_util::future::join_all((0..5).map(|n| api.send("gone", json!(n)))).await;
    eventually("they are on the queue", LIMIT, async || {
        (bus.depth(&name).await == 4).then_some(())
    })
    .await;
    // As if they had come in between the look for unfinished jobs and the end of the queue.
    let mut store = PgConnection::connect(&system.store()).await.unwrap();
    let delete = sqlx::query("delete from queues where name = 'gone'");
    delete.execute(&mut store).await.unwrap();
    eventually("it is forgotten", LIMIT, async || {
        let spec = json!({"queue": "gone", "input": 1, "delay_s": 3600});
        let answer = api.try_submit(&spec).await.ok()?;
        (answer.status().as_u16() == 404).then_some(())
    })
    .await;
    bus.delete(&name).await;
    api.json(Method::PUT, "/queues/gone", None).await;
    let _worker = system.late_worker("gone*4", &["cat"]).await;
    for job in jobs {
        let ended = api.ended_within(&job, LIMIT).await;
        assert_eq!(ended.status, Status::Succeeded, "{ended:?}");
    }
    bus.close().await;
}
