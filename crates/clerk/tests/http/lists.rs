//! Listing jobs.

use std::collections::HashSet;

use crate::support::Office;

#[tokio::test]
async fn pages_hold_every_job_once_newest_first() {
    let office = Office::open().await;
    let mut jobs = Vec::new();
    for _ in 0..7 {
        jobs.push(office.job().await);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/jobs?limit=3".to_owned());
    for page in 0.. {
        assert!(page < 4, "the pages do not end");
        let told = office.get(&path).await.json();
        let ids = told["jobs"].as_array().unwrap().iter();
        seen.extend(ids.map(|job| job["id"].as_str().unwrap().to_owned()));
        // What comes in between does not shift the pages.
        office.job().await;
        let Some(cursor) = told["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/jobs?limit=3&cursor={cursor}");
    }
    assert!(seen.is_sorted_by(|one, next| one > next));
    assert_eq!(
        seen.into_iter().collect::<HashSet<_>>(),
        jobs.into_iter().collect()
    );
}

#[tokio::test]
async fn filters_let_through_what_fits() {
    let office = Office::with(|config| config.queues.push("other".parse().unwrap())).await;
    office
        .submit(r#"{"queue":"q","input":1,"tags":["a"]}"#)
        .await;
    office
        .submit(r#"{"queue":"q","input":1,"tags":["a","b"],"delay_s":9}"#)
        .await;
    office.submit(r#"{"queue":"other","input":1}"#).await;
    let cases = [
        ("", 3),
        ("queue=q", 2),
        ("queue=nobody", 0),
        ("tag=a", 2),
        ("tag=b&queue=other", 0),
        ("status=scheduled", 1),
        ("status=queued", 2),
        ("status=failed", 0),
        ("created_after=2001-01-01T00:00:00Z", 3),
        ("created_before=2001-01-01T00:00:00Z", 0),
        ("queue=&tag=&limit=", 3),
    ];
    for (query, count) in cases {
        let told = office.get(&format!("/v1/jobs?{query}")).await.json();
        assert_eq!(told["jobs"].as_array().unwrap().len(), count, "{query}");
        assert!(told["next_cursor"].is_null(), "{query}");
    }
}

#[tokio::test]
async fn a_list_names_what_is_wrong_with_its_parameters() {
    let office = Office::open().await;
    let told = office.get("/v1/jobs?limit=0&status=done&colour=red").await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (400, "malformed-request")
    );
    assert_eq!(told.pointers(), ["/colour"]);
    let told = office.get("/v1/jobs?limit=0&status=done&cursor=x").await;
    assert_eq!(told.status, 400);
    assert_eq!(told.pointers().len(), 3);
}
