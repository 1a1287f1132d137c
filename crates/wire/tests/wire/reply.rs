//! The message `reply`: outcomes, and what a failure says.

use clerkwork_core::{Failure, Retry, event};
use clerkwork_wire::v1::{Head, Refused, Reply, decode_replies, detect};
use proptest::prelude::*;

use crate::samples::{bodies, replies};

fn failed(body: impl Into<bytes::Bytes>) -> Failure {
    match said(Some("failed"), None, body) {
        Ok(event::Reply::Failed { failure, .. }) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

fn said(
    outcome: Option<&str>,
    retry: Option<&str>,
    body: impl Into<bytes::Bytes>,
) -> Result<event::Reply, Refused> {
    let head = Head {
        outcome: outcome.map(str::to_owned),
        retry: retry.map(str::to_owned),
        ..Head::default()
    };
    let body = body.into();
    Reply { head, body }.outcome(2)
}

proptest! {
    #[test]
    fn a_reply_is_read_as_it_was_written(reply in replies()) {
        let packed = decode_replies(&reply.clone().encode()).unwrap();
        prop_assert_eq!(packed.replies, vec![reply]);
    }

    #[test]
    fn every_outcome_travels(
        output in bodies(),
        retry in prop_oneof![
            Just(Retry::Policy),
            Just(Retry::Never),
            any::<u64>().prop_map(Retry::AfterMs),
        ],
        // White space alone says nothing, and is not kept.
        detail in proptest::option::of(".{0,49}x"),
    ) {
        let failure = Failure::new(Failure::TIMED_OUT, detail, 2);
        let outcomes = [
            event::Reply::Succeeded { media_type: "a/b".to_owned(), output },
            event::Reply::Failed { failure, retry },
            event::Reply::Cancelled,
            event::Reply::Expired,
            event::Reply::Returned,
            event::Reply::NotStarted,
        ];
        for outcome in outcomes {
            let envelope = Reply::new("c", outcome.clone()).encode();
            let reply = decode_replies(&envelope).unwrap().replies.remove(0);
            prop_assert_eq!(&reply.head.correlation, "c");
            prop_assert_eq!(format!("{:?}", reply.outcome(2).unwrap()), format!("{outcome:?}"));
        }
    }

    #[test]
    fn a_failure_stays_small_whatever_its_worker_says(body in bodies(), times in 1usize..200) {
        let body: Vec<u8> = body.iter().copied().cycle().take(body.len() * times).collect();
        let failure = failed(body);
        prop_assert!(failure.detail.is_none_or(|detail| detail.len() <= 3 * Failure::MAX_DETAIL));
        prop_assert!(failure.title.len() <= 256 && failure.kind.len() <= 256);
        prop_assert_eq!(failure.attempt, 2);
    }
}

#[test]
fn a_reply_without_a_correlation_id_is_refused() {
    let mut envelope = crate::fixture::read("reply-succeeded");
    envelope.correlation_id = None;
    let refused = Refused::Malformed("a reply without correlation_id".to_owned());
    assert_eq!(decode_replies(&envelope), Err(refused));
}

#[test]
fn a_reply_needs_no_header_to_be_a_success() {
    let Ok(event::Reply::Succeeded { media_type, output }) = said(None, None, "hello") else {
        panic!("no success")
    };
    assert_eq!(
        (media_type.as_str(), &output[..]),
        ("text/plain; charset=utf-8", &b"hello"[..])
    );
}

#[test]
fn an_outcome_or_a_way_to_retry_that_nobody_knows_is_refused() {
    assert!(matches!(
        said(Some("done"), None, ""),
        Err(Refused::Malformed(_))
    ));
    for strange in [
        "",
        "Never",
        "after",
        "after:",
        "after:-1",
        "after:1.5",
        "after: 5",
        "after:99999999999999999999",
    ] {
        let refused = said(Some("failed"), Some(strange), "");
        assert!(matches!(refused, Err(Refused::Malformed(_))), "{strange}");
    }
    // Nobody asks a success how to retry it.
    assert!(said(None, Some("strange"), "").is_ok());
}

#[test]
fn every_way_to_retry_has_a_word() {
    let words = [
        (None, Retry::Policy),
        (Some("policy"), Retry::Policy),
        (Some("never"), Retry::Never),
        (Some("after:0"), Retry::AfterMs(0)),
        (Some("after:1500"), Retry::AfterMs(1500)),
    ];
    for (word, expected) in words {
        match said(Some("failed"), word, "") {
            Ok(event::Reply::Failed { retry, .. }) => assert_eq!(retry, expected, "{word:?}"),
            other => panic!("no failure: {other:?}"),
        }
    }
}

#[test]
fn a_failure_in_problem_members_keeps_them() {
    let failure = failed(r#" {"type":"urn:x","title":"T","detail":"D","data":[1, 2],"other":{}}"#);
    assert_eq!(
        (failure.kind.as_str(), failure.title.as_str()),
        ("urn:x", "T")
    );
    assert_eq!(failure.detail.as_deref(), Some("D"));
    assert_eq!(failure.data.unwrap().get(), "[1, 2]");
    let bare = failed("{}");
    assert_eq!(
        (bare.kind.as_str(), bare.title.as_str()),
        (Failure::HANDLER_ERROR, "The handler failed")
    );
    assert_eq!(failed(r#"{"type":""}"#).kind, Failure::HANDLER_ERROR);
    assert_eq!(
        failed(r#"{"type":"urn:clerkwork:problem:timed-out"}"#).title,
        "The attempt ran out of time"
    );
}

#[test]
fn any_other_body_of_a_failure_is_its_detail() {
    for text in [
        "it broke",
        "\"it broke\"",
        "[null,null,null,null]",
        "42",
        r#"{"title":5}"#,
        "{",
    ] {
        let failure = failed(text.to_owned());
        assert_eq!(failure.detail.as_deref(), Some(text));
        assert_eq!(failure.kind, Failure::HANDLER_ERROR);
    }
    for silent in ["", " \n", "{}"] {
        assert_eq!(failed(silent.to_owned()).detail, None);
    }
    let mixed = failed(r#"{"title":"T","detail":[{"msg":"m"}],"type":5,"data":1}"#);
    assert_eq!(
        (mixed.title.as_str(), mixed.detail.as_deref()),
        ("T", Some("m"))
    );
    assert_eq!(mixed.data.unwrap().get(), "1");
    assert_eq!(
        failed(&b"ab\xffc"[..]).detail.as_deref(),
        Some("ab\u{fffd}c")
    );
}

#[test]
fn what_is_too_large_in_a_failure_is_cut_or_left_out() {
    // Cut where a character begins.
    let long = "ä".repeat(Failure::MAX_DETAIL);
    let detail = failed(format!(r#"{{"detail":"{long}"}}"#)).detail.unwrap();
    assert_eq!(detail.len(), Failure::MAX_DETAIL);
    assert_eq!(
        failed("x".repeat(100_000)).detail.unwrap().len(),
        Failure::MAX_DETAIL
    );
    let data = |text: &str| failed(format!(r#"{{"detail":"D","data":{text}}}"#));
    let fits = format!("\"{}\"", "x".repeat(Failure::MAX_DATA - 2));
    assert_eq!(data(&fits).data.unwrap().get(), fits);
    let over = data(&format!("\"{}\"", "x".repeat(Failure::MAX_DATA - 1)));
    assert!(over.data.is_none());
    assert_eq!(over.detail.as_deref(), Some("D"));
}

#[test]
fn data_that_clients_could_not_read_are_left_out() {
    let data = |text: &str| failed(format!(r#"{{"data":{text}}}"#)).data;
    assert!(data(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_some());
    assert!(data(&format!("{}{}", "[".repeat(101), "]".repeat(101))).is_none());
    assert!(data(r#""\ud800""#).is_none());
}

#[test]
fn bytes_of_no_stated_type_are_json_or_text_or_bytes() {
    assert_eq!(detect(b""), "text/plain");
    for json in ["{}", " [1]\n", "\"a\"", "3", "null"] {
        assert_eq!(detect(json.as_bytes()), "application/json", "{json}");
    }
    // What clerks would refuse as JSON is text, since nobody called it JSON.
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    for text in ["hello", "{", "[1] x", "ä", " ", r#""\ud800""#, &deep] {
        assert_eq!(
            detect(text.as_bytes()),
            "text/plain; charset=utf-8",
            "{text}"
        );
    }
    assert_eq!(detect(b"\xff\xfe"), "application/octet-stream");
}
