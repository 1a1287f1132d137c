//! HTTP services as workers: what they are asked, and what their answers come to.

use std::time::Duration;

use clerkwork_core::{Clock as _, Failure, Retry, SystemClock, Trace, event};
use clerkwork_worker::Options;

use crate::service::{Called, said, shop};
use crate::support::{failure, job, options, text};

fn media_type(outcome: &event::Reply) -> &str {
    match outcome {
        event::Reply::Succeeded { media_type, .. } => media_type,
        other => panic!("no success: {other:?}"),
    }
}

#[tokio::test]
async fn an_attempt_is_one_post_of_the_input_byte_for_byte_with_its_headers() {
    let mut called = Called::open(|_| said(200, &[], "done")).await;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let mut submission = job(&called.shop.clerk.names, bytes.clone());
    submission.wire.content_type = "image/x-odd; level=\"9\"".to_owned();
    submission.wire.trace = Some(Trace {
        parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        state: Some("a=b".to_owned()),
    });
    let end = || SystemClock::new().now().after(Duration::from_secs(60)).0;
    let earliest = end();
    called.shop.publish(&submission).await;
    called.shop.clerk.outcome(&submission).await;
    let asked = called.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].method.as_str(), asked[0].uri.to_string().as_str()),
        ("POST", "/jobs?of=me")
    );
    assert!(asked[0].body == bytes);
    let header = |name: &str| asked[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/x-odd; level=\"9\"");
    assert_eq!(header("content-length"), "300000");
    assert_eq!(header("clerkwork-job-id"), submission.job.to_string());
    assert_eq!(header("clerkwork-attempt"), "1");
    assert_eq!(header("clerkwork-queue"), "q");
    let deadline: i64 = header("clerkwork-deadline-ms").parse().unwrap();
    // Two clocks of one machine may differ a little.
    let possible = earliest - 100..=end() + 100;
    assert!(possible.contains(&deadline), "{deadline} of {possible:?}");
    assert!(header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(header("tracestate"), "a=b");
    assert!(!asked[0].headers.contains_key("accept-encoding"));
    called.shop.working.stop().await;
}

#[tokio::test]
async fn a_later_attempt_says_which_one_it_is() {
    let mut called = Called::open(|_| said(200, &[], "done")).await;
    let mut submission = job(&called.shop.clerk.names, "{}");
    submission.wire.message_id = format!("{}:17", submission.job);
    called.shop.publish(&submission).await;
    called.shop.clerk.outcome(&submission).await;
    assert_eq!(called.asked()[0].headers["clerkwork-attempt"], "17");
    called.shop.working.stop().await;
}

#[tokio::test]
async fn any_2xx_is_success_and_the_body_is_the_output_with_its_media_type() {
    let mut called = Called::open(|asked| match &asked.body[..] {
        b"pdf" => said(
            201,
            &[("content-type", "application/pdf;v=1")],
            &b"\xff\x00"[..],
        ),
        b"none" => said(204, &[], ""),
        b"bare" => said(299, &[], "{\"a\": 1}"),
        _ => said(200, &[("content-type", "text/html")], "<p>"),
    })
    .await;
    let pdf = called.run("pdf").await;
    assert_eq!(media_type(&pdf), "application/pdf;v=1");
    assert!(matches!(&pdf, event::Reply::Succeeded { output, .. } if output[..] == *b"\xff\x00"));
    let none = called.run("none").await;
    assert_eq!((media_type(&none), text(&none)), ("text/plain", ""));
    let bare = called.run("bare").await;
    assert_eq!(
        (media_type(&bare), text(&bare)),
        ("application/json", "{\"a\": 1}")
    );
    assert_eq!(text(&called.run("else").await), "<p>");
    called.shop.working.stop().await;
}

#[tokio::test]
async fn an_output_over_the_limit_is_not_read_on_and_never_retried() {
    let small = Options {
        max_output: 1000,
        ..options("x")
    };
    let long = |length: usize, announced: bool| {
        let pieces =
            futures_util::stream::iter((0..length).map(|_| Ok::<_, std::io::Error>("0123456789")));
        if announced {
            said(200, &[], "0123456789".repeat(length))
        } else {
            said(200, &[], axum::body::Body::from_stream(pieces))
        }
    };
    let mut called = Called::with(
        move |asked| match &asked.body[..] {
            b"announced" => long(101, true),
            b"endless" => long(usize::MAX, false),
            _ => long(100, false),
        },
        small,
    )
    .await;
    assert_eq!(text(&called.run("fits").await).len(), 1000);
    for input in ["announced", "endless"] {
        let (failure, retry) = failure(called.run(input).await);
        assert_eq!(
            (failure.kind.as_str(), retry),
            (Failure::OUTPUT_TOO_LARGE, Retry::Never)
        );
        assert!(failure.detail.unwrap().contains("1000"), "{input}");
    }
    called.shop.working.stop().await;
}

#[tokio::test]
async fn the_status_says_whether_to_retry() {
    let mut called = Called::open(|asked| {
        let status = std::str::from_utf8(&asked.body).unwrap().parse().unwrap();
        said(status, &[("location", "/elsewhere")], "no such luck")
    })
    .await;
    let policy = [408, 425, 429, 500, 501, 503, 504, 599];
    let never = [
        300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 409, 410, 422, 499,
    ];
    let expected = policy.map(|it| (it, Retry::Policy)).into_iter();
    for (status, expected) in expected.chain(never.map(|it| (it, Retry::Never))) {
        let (failure, retry) = failure(called.run(&status.to_string()).await);
        assert_eq!(retry, expected, "{status}");
        assert_eq!(failure.kind, Failure::HANDLER_ERROR);
        assert_eq!(
            failure.data.unwrap().get(),
            format!("{{\"status\":{status}}}")
        );
        let detail = failure.detail.unwrap();
        match status {
            301..=303 | 307 | 308 => assert!(
                detail.contains("/elsewhere") && detail.contains("redirects are not followed"),
                "{detail}"
            ),
            304 => {}
            _ => assert_eq!(detail, "no such luck"),
        }
    }
    let asked = called.asked();
    assert_eq!(
        asked.len(),
        policy.len() + never.len(),
        "no redirect was followed"
    );
    called.shop.working.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured_where_a_retry_may_follow() {
    let mut called = Called::open(|asked| match &asked.body[..] {
        b"seconds" => said(503, &[("retry-after", "30")], ""),
        b"date" => said(429, &[("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT")], ""),
        b"past" => said(500, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], ""),
        b"nonsense" => said(503, &[("retry-after", "soon")], ""),
        _ => said(400, &[("retry-after", "30")], ""),
    })
    .await;
    assert_eq!(
        failure(called.run("seconds").await).1,
        Retry::AfterMs(30_000)
    );
    let date = failure(called.run("date").await).1;
    assert!(
        matches!(date, Retry::AfterMs(ms) if ms > 86_400_000 * 365),
        "{date:?}"
    );
    assert_eq!(failure(called.run("past").await).1, Retry::AfterMs(0));
    assert_eq!(failure(called.run("nonsense").await).1, Retry::Policy);
    assert_eq!(failure(called.run("never").await).1, Retry::Never);
    called.shop.working.stop().await;
}

#[tokio::test]
async fn a_problem_becomes_the_error_member_by_member() {
    let problem = r#"{"type":"urn:shop:out-of-paper","title":"Out of paper","status":503,"detail":"tray 2","data":{"tray":2},"more":1}"#;
    let mut called = Called::open(move |asked| {
        let kind = [("content-type", "application/problem+json; charset=utf-8")];
        match &asked.body[..] {
            b"problem" => said(503, &kind, problem),
            b"blank" => said(500, &kind, r#"{"type":"about:blank"}"#),
            b"mixed" => said(
                503,
                &kind,
                r#"{"title":"T","detail":[{"msg":"m"}],"status":"?"}"#,
            ),
            _ => said(500, &kind, "{oops"),
        }
    })
    .await;
    let (told, retry) = failure(called.run("problem").await);
    assert_eq!(retry, Retry::Policy);
    assert_eq!(
        (told.kind.as_str(), told.title.as_str()),
        ("urn:shop:out-of-paper", "Out of paper")
    );
    assert_eq!(told.detail.as_deref(), Some("tray 2"));
    assert_eq!(told.data.unwrap().get(), r#"{"tray":2}"#);
    let (blank, _) = failure(called.run("blank").await);
    assert_eq!(blank.kind, Failure::HANDLER_ERROR);
    assert_eq!(
        blank.detail.as_deref(),
        Some("the service answered 500 Internal Server Error")
    );
    let (mixed, _) = failure(called.run("mixed").await);
    assert_eq!(
        (mixed.title.as_str(), mixed.detail.as_deref()),
        ("T", Some("m"))
    );
    let (text, _) = failure(called.run("text").await);
    assert_eq!(text.detail.as_deref(), Some("{oops"));
    called.shop.working.stop().await;
}

#[tokio::test]
async fn the_detail_that_frameworks_answer_with_is_the_errors_detail() {
    let mut called = Called::open(|asked| {
        let detail = match &asked.body[..] {
            b"text" => r#"{"detail": "Not found"}"#,
            b"list" => {
                r#"{"detail": [{"type": "int", "loc": ["body", "pages"], "msg": "no number"}]}"#
            }
            _ => r#"{"error": "no detail"}"#,
        };
        said(422, &[("content-type", "application/json")], detail)
    })
    .await;
    for (input, expected) in [
        ("text", "Not found"),
        ("list", "body.pages: no number"),
        ("other", r#"{"error": "no detail"}"#),
    ] {
        let (failure, retry) = failure(called.run(input).await);
        assert_eq!(retry, Retry::Never);
        assert_eq!(failure.detail.as_deref(), Some(expected));
        assert_eq!(failure.data.unwrap().get(), r#"{"status":422}"#);
    }
    called.shop.working.stop().await;
}

#[tokio::test]
async fn of_another_body_the_first_8_kib_are_the_error() {
    let mut called =
        Called::open(|_| said(500, &[], format!("begin{}", "\u{e4}".repeat(9000)))).await;
    let (failure, _) = failure(called.run("").await);
    let detail = failure.detail.unwrap();
    assert!(detail.starts_with("begin\u{e4}"));
    assert!(
        detail.len() > 8 * 1024 - 4 && detail.len() <= 8 * 1024,
        "{}",
        detail.len()
    );
    called.shop.working.stop().await;
}

#[tokio::test]
async fn an_answer_in_a_coding_that_was_not_asked_for_is_refused() {
    let mut called = Called::open(|_| said(200, &[("content-encoding", "gzip")], "\x1f")).await;
    let (failure, retry) = failure(called.run("").await);
    assert_eq!(retry, Retry::Never);
    assert!(failure.detail.unwrap().contains("gzip"));
    called.shop.working.stop().await;
}

#[tokio::test]
async fn a_service_that_hangs_up_on_a_new_connection_is_a_failure_by_policy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let hangs_up = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for answer in [&b""[..], &half[..]] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(answer).await.unwrap();
        }
    });
    let mut shop = shop(&url, options("x")).await;
    for what in ["nothing", "half"] {
        let (failed, retry) = failure(shop.run("{}").await);
        assert_eq!(retry, Retry::Policy, "{what}");
        assert!(failed.detail.unwrap().contains("broke"), "{what}");
    }
    hangs_up.await.unwrap();
    shop.working.stop().await;
}
