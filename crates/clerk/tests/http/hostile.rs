//! What hostile clients send is answered with 4xx, or kept as it is.

use axum::body::Body;
use axum::http::{HeaderValue, Request};

use crate::support::{Office, submission};

#[tokio::test]
async fn no_body_is_worth_an_error_of_ours() {
    let office = Office::open().await;
    let many = |what: &str, count: usize| vec![what; count].join(",");
    let names: Vec<_> = (0..100_000).map(|at| format!("\"k{at}\":1")).collect();
    let bodies = [
        String::new(),
        "\0".into(),
        "\u{feff}{}".into(),
        "{".repeat(200_000),
        "[".repeat(200_000),
        format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)),
        format!(
            "{{\"queue\":{}{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        ),
        format!(
            "{{\"queue\":\"q\",\"input\":1,\"tags\":[{}]}}",
            many("\"a\"", 200_000)
        ),
        format!(
            "{{\"queue\":\"q\",\"input\":1,\"tags\":[{}]}}",
            many("[]", 9)
        ),
        format!("{{{}}}", names.join(",")),
        format!("{{\"{}\":1}}", "n".repeat(1_000_000)),
        format!("{{\"queue\":\"{}\",\"input\":1}}", "q".repeat(1_000_000)),
        r#"{"queue":"q","input":1,"timeout_s":1e400}"#.into(),
        r#"{"queue":"q","input":1,"timeout_s":18446744073709551616}"#.into(),
        r#"{"queue":"q\r\nX: y","input":1}"#.into(),
        r#"{"queue":"q","input":1,"tags":["\u001b[31m","\u202e","\n"]}"#.into(),
        r#"{"queue":"q","input":"\udfff"}"#.into(),
        r#"{"queue":null,"input":1}"#.into(),
    ];
    for body in bodies {
        let told = office.submit(&body).await;
        let start: String = body.chars().take(40).collect();
        assert!(told.status.is_client_error(), "{start}: {told:?}");
        assert!(told.body.len() < 10_000, "{start}");
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        for leak in ["sqlx", "serde", "src/", "Error("] {
            assert!(!text.contains(leak), "{start}: {text}");
        }
    }
    let kept = r#"[1e400,-0,18446744073709551616,"\u0000",{"a":1,"a":2}]"#;
    let told = office
        .submit(&format!(r#"{{"queue":"q","input":{kept}}}"#))
        .await;
    assert_eq!(told.status, 202);
}

#[tokio::test]
async fn no_header_is_worth_an_error_of_ours() {
    let office = Office::open().await;
    let body = r#"{"queue":"q","input":1}"#;
    let values: [&[u8]; 8] = [
        b"",
        b"\xff",
        b"\"",
        b"*",
        b",,,;;;===",
        b"\"\\",
        b"9999999999999999999999",
        &[b'a'; 9_000],
    ];
    for name in [
        "prefer",
        "if-none-match",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "content-type",
    ] {
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            let request = submission(body).header(name, value.clone());
            let told = office.send(request.body(Body::from(body)).unwrap()).await;
            assert!(!told.status.is_server_error(), "{name}: {told:?}");
            let request = Request::get("/v1/jobs").header(name, value);
            let told = office.send(request.body(Body::empty()).unwrap()).await;
            assert!(!told.status.is_server_error(), "{name}: {told:?}");
        }
    }
}

#[tokio::test]
async fn no_address_is_worth_an_error_of_ours() {
    let office = Office::open().await;
    let long = "a".repeat(5_000);
    let tails = [
        "?limit=99999999999999999999",
        "?created_after=9999-12-31T23:59:59Z",
        "?created_before=0000-01-01T00:00:00Z",
        "?created_after=1969-12-31T23:59:59Z",
        "?cursor=%00",
        "?tag=%f0%9f",
        "?tag=a%0d%0ab",
        "?queue=..%2f..",
        "?a=b&a=b",
        "?&&&==",
        "/..%2f..%2fetc",
        "/%2e%2e",
        "/'%20or%201=1--",
        "/%252e",
        "?status=queued'--",
    ];
    for tail in tails
        .into_iter()
        .chain([&*format!("/{long}"), &*format!("?tag={long}")])
    {
        for method in ["GET", "HEAD", "POST", "DELETE", "TRACE"] {
            let told = office.call(method, &format!("/v1/jobs{tail}")).await;
            assert!(!told.status.is_server_error(), "{method} {tail}: {told:?}");
        }
    }
}

#[tokio::test]
async fn no_form_is_worth_an_error_of_ours() {
    let office = Office::open().await;
    let part = |head: &str, body: &str| format!("--x\r\n{head}\r\n\r\n{body}\r\n");
    let job = part(
        "Content-Disposition: form-data; name=\"job\"",
        "{\"queue\":\"q\"}",
    );
    let named = "Content-Disposition: form-data; name=\"input\"";
    let bodies = [
        String::new(),
        "--x".into(),
        "--x--".into(),
        "--x\r\n".into(),
        "--y\r\n".into(),
        "\r\n".repeat(1_000),
        part("", ""),
        part(named, ""),
        job.clone(),
        format!("{job}{job}--x--"),
        format!(
            "{job}{}",
            part(&format!("{named}\r\nContent-Type: no type"), "i")
        ),
        format!(
            "{job}{}--x--",
            part(
                &format!("{named}\r\nContent-Type: {}", "a".repeat(300)),
                "i"
            )
        ),
        format!(
            "{job}{}--x--",
            part(&format!("{named}\r\nX: {}", "a".repeat(100_000)), "i")
        ),
        part(&vec!["A: b"; 1_000].join("\r\n"), ""),
        part("Content-Disposition: form-data; name=\"job\u{202e}\"", "{}"),
    ];
    for body in bodies {
        let request =
            Request::post("/v1/jobs").header("content-type", "multipart/form-data; boundary=x");
        let told = office
            .send(request.body(Body::from(body.clone())).unwrap())
            .await;
        let accepted = told.status == 202 && body.contains("X: aaa");
        assert!(
            told.status.is_client_error() || accepted,
            "{body:.200}: {told:?}"
        );
    }
    for boundary in ["", "\"\"", &"b".repeat(71), "\"a\r\"", "x; charset=y"] {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let Ok(kind) = HeaderValue::from_str(&kind) else {
            continue;
        };
        let request = Request::post("/v1/jobs").header("content-type", kind);
        let told = office
            .send(request.body(Body::from("--x--")).unwrap())
            .await;
        assert!(told.status.is_client_error(), "{boundary}: {told:?}");
    }
}
