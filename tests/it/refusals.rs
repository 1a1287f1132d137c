//! Bad input gets a clear refusal and changes nothing, at every clerk alike.

use clerkwork_tests::{Api, Kind, Problem, claims};
use reqwest::Method;
use serde_json::json;

claims! {
    what_does_not_fit_is_refused_with_a_pointer_and_nothing_is_accepted,
    what_is_too_large_is_refused,
    what_is_not_there_is_not_found,
}

async fn refused(api: &Api, body: String) -> Problem {
    let request = api
        .request(Method::POST, "/jobs")
        .header("Content-Type", "application/json");
    api.refusal(request.body(body)).await
}

async fn what_does_not_fit_is_refused_with_a_pointer_and_nothing_is_accepted(kind: Kind) {
    let system = kind.plan().queue("q").start().await;
    let api = system.api();
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    let cases = [
        (r#"{"queue":"q"}"#.to_owned(), 422, "/input"),
        (r#"{"input":1}"#.to_owned(), 422, "/queue"),
        (r#"{"queue":"Q!","input":1}"#.to_owned(), 422, "/queue"),
        (
            r#"{"queue":"q","input":1,"timeout_s":0}"#.to_owned(),
            422,
            "/timeout_s",
        ),
        (
            r#"{"queue":"q","input":1,"max_attempts":101}"#.to_owned(),
            422,
            "/max_attempts",
        ),
        (
            r#"{"queue":"q","input":1,"colour":"red"}"#.to_owned(),
            422,
            "/colour",
        ),
        (
            r#"{"queue":"q","input":1,"input":2}"#.to_owned(),
            422,
            "/input",
        ),
        (
            r#"{"queue":"q","input":1,"webhook":"http://example.com/"}"#.to_owned(),
            422,
            "/webhook",
        ),
        (format!(r#"{{"queue":"q","input":{deep}}}"#), 422, "/input"),
        (r#"{"queue":"q","input":1"#.to_owned(), 400, ""),
        (r#"{"queue":"q","input":1} x"#.to_owned(), 400, ""),
        (r#"{"queue":"q","input":"\ud800"}"#.to_owned(), 400, ""),
        ("[]".to_owned(), 422, ""),
    ];
    for (body, status, pointer) in cases {
        let problem = refused(&api, body.clone()).await;
        assert_eq!(problem.status, status, "{body}");
        assert!(problem.kind.starts_with("urn:clerkwork:problem:"), "{body}");
        if !pointer.is_empty() {
            let pointers: Vec<_> = problem
                .errors
                .iter()
                .map(|error| &error["pointer"])
                .collect();
            assert!(pointers.contains(&&json!(pointer)), "{body}: {pointers:?}");
        }
    }
    let listed = system.clerk(1).json(Method::GET, "/jobs", None).await;
    assert_eq!(listed["jobs"], json!([]));
}

async fn what_is_too_large_is_refused(kind: Kind) {
    let plan = kind.plan().queue("q").clerk_setting("max-input", "64KiB");
    let system = plan.start().await;
    let api = system.api();
    let body = |bytes: usize| format!(r#"{{"queue":"q","input":"{}"}}"#, "x".repeat(bytes - 2));
    assert_eq!(refused(&api, body(64 * 1024 + 1)).await.status, 413);
    let fits = api
        .request(Method::POST, "/jobs")
        .header("Content-Type", "application/json");
    assert_eq!(
        fits.body(body(64 * 1024))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16(),
        202
    );
}

async fn what_is_not_there_is_not_found(kind: Kind) {
    let system = kind.plan().command("echo", 1, &["cat"]).start().await;
    let api = system.api();
    let job = api.run("echo", json!(1)).await;
    let path = format!("/jobs/{}", job.id);
    let deleted = api.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status().as_u16(), 204);
    for path in [
        path.as_str(),
        "/jobs/0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69",
        "/jobs/nonsense",
    ] {
        let refusal = system
            .clerk(1)
            .refusal(api.request(Method::GET, path))
            .await;
        assert_eq!(refusal.status, 404, "{path}");
        assert_eq!(refusal.kind, "urn:clerkwork:problem:not-found");
    }
}
