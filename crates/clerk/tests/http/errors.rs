//! One shape for every error.

use axum::body::Body;
use axum::http::Request;

use crate::support::{Office, request, submission};

#[tokio::test]
async fn what_does_not_fit_is_told_all_at_once_with_its_place() {
    let office = Office::open().await;
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    let body = format!(
        r#"{{"queue":"Q","input":{deep},"tags":["a b",1],"webhook":"http://example.com","timeout_s":0,
        "start_within_s":1.5,"delay_s":-1,"max_attempts":101,"retry_delay_s":"1","tenant":"x"}}"#
    );
    let told = office.submit(&body).await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (422, "invalid-request")
    );
    let mut pointers = told.pointers();
    pointers.sort();
    let expected = [
        "/delay_s",
        "/input",
        "/max_attempts",
        "/queue",
        "/retry_delay_s",
        "/start_within_s",
        "/tags",
        "/tenant",
        "/timeout_s",
        "/webhook",
    ];
    assert_eq!(pointers, expected);
}

#[tokio::test]
async fn names_that_only_the_server_may_set_are_refused() {
    let office = Office::open().await;
    for name in [
        "tenant",
        "state",
        "status",
        "attempt",
        "priority",
        "id",
        "rev",
        "output",
        "__proto__",
    ] {
        let told = office
            .submit(&format!(r#"{{"queue":"q","input":1,"{name}":1}}"#))
            .await;
        assert_eq!(told.pointers(), [format!("/{name}")]);
    }
}

#[tokio::test]
async fn bounds_belong_to_what_fits() {
    let office = Office::open().await;
    for members in [
        r#""timeout_s":1,"start_within_s":1,"delay_s":0,"max_attempts":1,"retry_delay_s":0"#,
        r#""timeout_s":604800,"start_within_s":2592000,"max_attempts":100,"retry_delay_s":3600"#,
        r#""webhook":null,"start_within_s":null,"tags":[]"#,
        r#""delay_s":2592000"#,
    ] {
        let told = office
            .submit(&format!(r#"{{"queue":"q","input":null,{members}}}"#))
            .await;
        assert_eq!(told.status, 202, "{members}: {told:?}");
    }
    for beyond in [
        r#""timeout_s":604801,"start_within_s":2592001,"delay_s":2592001,"max_attempts":101,"retry_delay_s":3601"#,
        r#""timeout_s":0,"start_within_s":0,"delay_s":-1,"max_attempts":0,"retry_delay_s":-1"#,
    ] {
        let told = office
            .submit(&format!(r#"{{"queue":"q","input":null,{beyond}}}"#))
            .await;
        assert_eq!(told.status, 422);
        let mut pointers = told.pointers();
        pointers.sort();
        let all = [
            "/delay_s",
            "/max_attempts",
            "/retry_delay_s",
            "/start_within_s",
            "/timeout_s",
        ];
        assert_eq!(pointers, all, "{beyond}");
    }
}

#[tokio::test]
async fn a_job_has_at_most_eight_tags_and_an_input_at_most_a_hundred_levels() {
    let office = Office::open().await;
    let with_tags = async |count: usize| {
        let tags: Vec<String> = (0..count)
            .map(|at| format!("{at}{}", "t".repeat(63)))
            .collect();
        let body = serde_json::json!({"queue": "q", "input": 1, "tags": tags});
        office.submit(&body.to_string()).await
    };
    let most = with_tags(8).await;
    assert_eq!(
        (
            most.status.as_u16(),
            most.json()["tags"].as_array().unwrap().len()
        ),
        (202, 8)
    );
    let more = with_tags(9).await;
    assert_eq!(
        (more.status.as_u16(), more.pointers()),
        (422, vec!["/tags".to_owned()])
    );
    let long = format!(r#"{{"queue":"q","input":1,"tags":["{}"]}}"#, "t".repeat(65));
    assert_eq!(office.submit(&long).await.pointers(), ["/tags/0"]);
    for (levels, status) in [(100, 202), (101, 422)] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let told = office
            .submit(&format!(r#"{{"queue":"q","input":{deep}}}"#))
            .await;
        assert_eq!(told.status, status, "{levels}");
    }
}

#[tokio::test]
async fn a_method_that_does_nothing_is_answered_with_those_that_do() {
    let office = Office::open().await;
    let cases = [
        ("DELETE", "/v1/jobs", "GET,HEAD,POST"),
        ("PUT", "/v1/jobs/x", "DELETE,GET,HEAD"),
        ("GET", "/v1/jobs/x/cancel", "POST"),
        ("OPTIONS", "/v1/queues", "GET,HEAD"),
        ("FOO", "/v1/queues/q", "DELETE,GET,HEAD,PATCH,PUT"),
        ("POST", "/healthz", "GET,HEAD"),
    ];
    for (method, path, allowed) in cases {
        let told = office.call(method, path).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (405, "method-not-allowed")
        );
        let mut allow: Vec<_> = told.header("allow").split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow.join(","), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_not_found() {
    let office = Office::open().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/v2/jobs",
        "/v1/jobs/x/y/z",
        "/v1//jobs",
        "/%00",
    ] {
        let told = office.get(path).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (404, "not-found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_media_types_and_codings_are_not_supported() {
    let office = Office::open().await;
    let body = r#"{"queue":"q","input":1}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "json",
        "multipart/mixed; boundary=x",
    ] {
        let request = Request::post("/v1/jobs").header("content-type", kind);
        let told = office.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (415, "unsupported-media-type"),
            "{kind}"
        );
    }
    assert_eq!(
        office.send(request("POST", "/v1/jobs", body)).await.status,
        415
    );
    for coding in ["gzip", "gzip, gzip", "br", "zstd", "identity"] {
        let request = submission(body).header("content-encoding", coding);
        let told = office.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(told.status, 415, "{coding}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let request = Request::post("/v1/jobs").header("content-type", kind);
        let told = office.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(told.status, 202, "{kind}");
    }
}

#[tokio::test]
async fn a_query_parameter_that_does_nothing_is_refused() {
    let office = Office::open().await;
    let id = office.job().await;
    for path in [format!("/v1/jobs/{id}?wait=3"), "/v1/queues?x".to_owned()] {
        let told = office.get(&path).await;
        assert_eq!(
            (told.status.as_u16(), &*told.problem()),
            (400, "malformed-request"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_refusal_comes_in_its_order() {
    let office = Office::with(|config| config.max_input = 10).await;
    let large = "x".repeat(100_000);
    // 415 before 413, 413 before 400, 400 before 422, 422 before 404.
    assert_eq!(
        office
            .send(request("POST", "/v1/jobs?x=1", &large))
            .await
            .status,
        415
    );
    let long = submission(&large)
        .uri("/v1/jobs?x=1")
        .body(Body::from(large.clone()))
        .unwrap();
    assert_eq!(office.send(long).await.status, 413);
    let keyed = submission("{}")
        .header("idempotency-key", "a b")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(office.send(keyed).await.status, 400);
    assert_eq!(office.submit(r#"{"queue":"nobody"}"#).await.status, 422);
    assert_eq!(
        office
            .submit(r#"{"queue":"nobody","input":1}"#)
            .await
            .status,
        404
    );
}
