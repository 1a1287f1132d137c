//! The view for people.

use clerkwork_core::{Event, Failure, JobId, Retry, event};
use sqlx::Row as _;

use crate::support::{connect, fixture_in, schema};

/// A failure whose texts no database can show as they are.
fn failure() -> Failure {
    let mut failure = Failure::new("urn:test:a\0b", "one\0\0two: C:\\u0000".to_owned(), 1);
    let data = r#"{"\u0000":"\u0000","half":"\ud800"}"#.to_owned();
    failure.data = Some(serde_json::value::RawValue::from_string(data).unwrap());
    failure
}

fn replied(retry: Retry) -> Event {
    Event::Replied {
        attempt: 1,
        reply: event::Reply::Failed {
            failure: failure(),
            retry,
        },
        worker: Some("w\0".into()),
        started_at: None,
    }
}

#[tokio::test]
async fn failures_with_nuls_are_read_by_people_and_by_clerks() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    let new = fixture.dispatched();
    let failed = fixture.brought(new, vec![replied(Retry::Never)]).await.id;
    let new = fixture.dispatched();
    let retried = fixture.brought(new, vec![replied(Retry::Policy)]).await.id;
    let good = fixture.accept_dispatched(1).await[0];
    let mut success = clerkwork_store::conformance::success(good);
    success.worker = Some("w\0".into());
    fixture
        .recorder
        .succeed(&[success], fixture.now)
        .await
        .unwrap();
    // As an older version stored it.
    let old = fixture.accept_dispatched(1).await[0];
    let mut conn = connect(&options).await;
    let text = r#"update jobs set state = 11, failure =
        '{"type":"t","title":"t","detail":"\u0000\u0000 \\u0000 \\\u0000 \ud83d\ude00\uD83D\uDE00 \ud800\ud83d\ude00 \udc00x\\ud800 \\xd83dde00","attempt":1}' where id = $1"#;
    let update = sqlx::query(text).bind(old.uuid());
    update.execute(&mut conn).await.unwrap();

    let rows = sqlx::query("select id, failure->>'detail' as detail, worker from jobs_readable")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(rows.len(), 4);
    let shown = |id: JobId| {
        let row = rows
            .iter()
            .find(|row| row.get::<uuid::Uuid, _>("id") == id.uuid());
        let row = row.unwrap();
        let cell = |name: &str| row.get::<Option<String>, _>(name);
        (
            cell("detail").unwrap_or_default(),
            cell("worker").unwrap_or_default(),
        )
    };
    let detail = "one\u{fffd}\u{fffd}two: C:\\u0000".to_owned();
    assert_eq!(shown(failed), (detail.clone(), "w\u{fffd}".to_owned()));
    assert_eq!(shown(good).1, "w\u{fffd}");
    assert_eq!(
        shown(old).0,
        "\u{fffd}\u{fffd} \\u0000 \\\u{fffd} \u{1f600}\u{1f600} \u{fffd}\u{1f600} \u{fffd}x\\ud800 \\xd83dde00"
    );
    let whole = "select (failure->'data')::jsonb from jobs_readable where failure is not null";
    sqlx::query(whole).execute(&mut conn).await.unwrap();
    let history = "select (failure::json)->>'detail' from attempts where job_id = $1";
    let told: String = sqlx::query_scalar(history)
        .bind(retried.uuid())
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(told, detail);

    let kept = fixture.get(failed).await.failure.unwrap();
    assert_eq!(kept.detail, Some(detail));
    assert_eq!(kept.kind, "urn:test:a\u{fffd}b");
    drop(conn);
    fixture.end().await;
}
