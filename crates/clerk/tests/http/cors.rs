//! Web pages of other origins.

use axum::body::Body;
use axum::http::Request;

use clerkwork_core::Role;

use crate::support::{Office, Told};

const PAGE: &str = "https://app.example.com";

async fn open() -> Office {
    Office::with(|config| config.cors_origins = vec![PAGE.parse().unwrap()]).await
}

async fn asked(office: &Office, method: &str, path: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    office.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn no_page_of_another_origin_may_read_anything_unless_it_is_named() {
    for (office, vary) in [(Office::open().await, ""), (open().await, "Origin")] {
        for origin in [
            "https://evil.example",
            "https://app.example.com.evil.example",
            "null",
        ] {
            let told = asked(&office, "GET", "/v1/jobs", &[("origin", origin)]).await;
            assert_eq!(told.status, 200);
            assert_eq!(told.header("access-control-allow-origin"), "");
            assert_eq!(told.header("access-control-expose-headers"), "");
            assert_eq!(told.header("vary"), vary);
            let question = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            let told = asked(&office, "OPTIONS", "/v1/jobs", &question).await;
            assert_eq!(told.status, 405);
            assert_eq!(told.header("access-control-allow-origin"), "");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_named_may_read_answers_problems_and_their_headers() {
    let office = open().await;
    for (path, status) in [("/v1/jobs", 200), ("/v1/jobs/x", 404), ("/nowhere", 404)] {
        let told = asked(&office, "GET", path, &[("origin", PAGE)]).await;
        assert_eq!(told.status, status);
        assert_eq!(told.header("access-control-allow-origin"), PAGE);
        assert_eq!(
            told.header("access-control-expose-headers"),
            "ETag, Location, Preference-Applied, RateLimit, Request-Id, Retry-After"
        );
        assert_eq!(told.header("vary"), "Origin");
        assert_eq!(told.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn a_browser_that_asks_for_a_named_page_is_told_what_the_page_may_send() {
    let office = open().await;
    let question = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,idempotency-key,prefer",
        ),
    ];
    let told = asked(&office, "OPTIONS", "/v1/jobs", &question).await;
    assert_eq!((told.status.as_u16(), told.body.len()), (204, 0));
    assert_eq!(told.header("access-control-allow-origin"), PAGE);
    let headers = told
        .header("access-control-allow-headers")
        .to_ascii_lowercase();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "if-none-match",
        "last-event-id",
        "prefer",
        "traceparent",
        "tracestate",
    ] {
        assert!(headers.split(", ").any(|allowed| allowed == name), "{name}");
    }
    let methods = told.header("access-control-allow-methods");
    assert_eq!(methods, "GET, HEAD, POST, PUT, PATCH, DELETE");
}

#[tokio::test]
async fn options_that_no_browser_asks_for_a_page_are_a_method_like_any_other() {
    let office = open().await;
    let told = asked(&office, "OPTIONS", "/v1/jobs", &[("origin", PAGE)]).await;
    assert_eq!(told.problem(), "method-not-allowed");
}

/// What a page can send without asking first: a form with files, or a request without a body.
fn simple_requests() -> [(&'static str, &'static str); 3] {
    [
        ("POST", "/v1/jobs"),
        (
            "POST",
            "/v1/jobs/0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69/cancel",
        ),
        ("POST", "/v1/queues/q/purge"),
    ]
}

#[tokio::test]
async fn without_keys_no_strange_page_may_change_anything_and_named_ones_may() {
    let office = open().await;
    for (method, path) in simple_requests() {
        for origin in ["https://evil.example", "http://localhost:3000", "null"] {
            let headers = [("host", "localhost:8080"), ("origin", origin)];
            let told = asked(&office, method, path, &headers).await;
            assert_eq!(told.status, 403);
            assert_eq!(told.problem(), "forbidden");
        }
        for origin in [PAGE, "http://localhost:8080"] {
            let headers = [("host", "localhost:8080"), ("origin", origin)];
            assert_ne!(asked(&office, method, path, &headers).await.status, 403);
        }
        assert_ne!(asked(&office, method, path, &[]).await.status, 403);
    }
}

#[tokio::test]
async fn without_keys_a_name_that_a_stranger_may_have_pointed_here_is_not_answered_to() {
    let office = open().await;
    for host in ["evil.dev", "evil.dev:8080", "localhost.evil.dev"] {
        let told = asked(&office, "GET", "/v1/jobs", &[("host", host)]).await;
        assert_eq!(told.status, 403);
        assert_eq!(told.problem(), "forbidden");
        // As a page of that name sends it: to its own origin.
        let origin = format!("http://{host}");
        let headers = [("host", host), ("origin", &origin)];
        let told = asked(&office, "POST", "/v1/jobs", &headers).await;
        assert_eq!(told.status, 403);
        assert_eq!(told.problem(), "forbidden");
    }
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080", "clerk:8080"] {
        let told = asked(&office, "GET", "/v1/jobs", &[("host", host)]).await;
        assert_eq!(told.status, 200, "{host}");
    }
}

#[tokio::test]
async fn with_a_key_it_does_not_matter_where_a_page_is_from_or_how_the_service_is_called() {
    let office = Office::open().await;
    let key = office.key("a", Role::Client, &[]).await.reveal();
    let bearer = format!("Bearer {key}");
    let headers = [
        ("host", "jobs.page.dev"),
        ("origin", "https://evil.dev"),
        ("authorization", &bearer),
    ];
    assert_eq!(
        asked(&office, "GET", "/v1/jobs", &headers).await.status,
        200
    );
    assert_eq!(
        asked(&office, "POST", "/v1/jobs", &headers).await.status,
        415
    );
}
