//! Listing jobs.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Office, request, with};

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
        assert_eq!(told["searched_to"].is_null(), told["next_cursor"].is_null());
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
        .submit(r#"{"queue":"q","input":1,"tags":["a","b"],"delay_s":9000}"#)
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
async fn a_page_has_fifty_jobs_unless_more_or_fewer_are_asked_for() {
    let office = Office::open().await;
    let jobs = vec![json!({"queue": "q", "input": 1}); 201];
    let batch = request(
        "POST",
        "/v1/jobs/batch",
        &json!({ "jobs": jobs }).to_string(),
    );
    let batch = with(batch, "content-type", "application/json");
    assert_eq!(office.send(batch).await.status, 202);
    for (query, count) in [("", 50), ("?limit=1", 1), ("?limit=200", 200)] {
        let told = office.get(&format!("/v1/jobs{query}")).await.json();
        assert_eq!(told["jobs"].as_array().unwrap().len(), count, "{query}");
        assert!(told["next_cursor"].is_string(), "there are more");
    }
    assert_eq!(
        office.get("/v1/jobs?limit=201").await.pointers(),
        ["/limit"]
    );
}

#[tokio::test]
async fn a_list_leaves_every_output_out() {
    let office = Office::open().await;
    let _worker = office.echo();
    let id = office.job().await;
    let job = office.comes_to(&id, "succeeded").await;
    assert_eq!(
        (&job["output"], &job["output_omitted"]),
        (&json!(1), &json!(false))
    );
    let listed = office.get("/v1/jobs").await.json()["jobs"][0].clone();
    assert_eq!(
        (&listed["output"], &listed["output_omitted"]),
        (&Value::Null, &json!(true))
    );
    for same in [
        "id",
        "status",
        "output_type",
        "output_size",
        "finished_at",
        "expires_at",
    ] {
        assert_eq!(listed[same], job[same], "{same}");
    }
}

#[tokio::test]
async fn the_moments_between_which_jobs_are_listed_are_themselves_left_out() {
    let office = Office::open().await;
    let path = format!("/v1/jobs/{}", office.job().await);
    let created = office.get(&path).await.json()["created_at"].clone();
    let created = created.as_str().unwrap();
    for bound in ["created_after", "created_before"] {
        let told = office
            .get(&format!("/v1/jobs?{bound}={created}"))
            .await
            .json();
        assert_eq!(told["jobs"], json!([]), "{bound}");
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
