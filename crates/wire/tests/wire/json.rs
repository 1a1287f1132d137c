//! The messages whose body is JSON of ours: `report`, `notice`, `control`.

use clerkwork_wire::Envelope;
use clerkwork_wire::v1::{Control, Does, EventKind, Held, Notice, Refused, Report};
use proptest::prelude::*;

use crate::fixture::read;
use crate::samples::{controls, reports};

fn message(body: &str) -> Envelope {
    Envelope {
        body: body.to_owned().into(),
        ..Envelope::default()
    }
}

/// The golden message with one more member at the start of its body.
fn with_a_new_member(name: &str) -> Envelope {
    let mut envelope = read(name);
    let body = String::from_utf8(envelope.body.to_vec()).unwrap();
    envelope.body = body.replacen('{', r#"{"later":{"a":[1]},"#, 1).into();
    envelope.headers.set("later", true);
    envelope
}

proptest! {
    #[test]
    fn a_report_is_read_as_it_was_written(report in reports()) {
        let read = Report::decode(&report.encode()).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{report:?}"));
    }

    #[test]
    fn a_control_is_read_as_it_was_written(control in controls()) {
        prop_assert_eq!(Control::decode(&control.encode()), Ok(control));
    }
}

#[test]
fn members_that_nobody_knows_are_ignored() {
    let report = Report::decode(&with_a_new_member("report-of-work")).unwrap();
    assert_eq!(report.encode(), read("report-of-work"));
    let notice = Notice::decode(&with_a_new_member("notice-of-outcomes")).unwrap();
    assert_eq!(notice.encode(), read("notice-of-outcomes"));
    let control = Control::decode(&with_a_new_member("control-hello")).unwrap();
    assert_eq!(control.encode(), read("control-hello"));
}

#[test]
fn words_that_nobody_knows_are_let_through_as_other() {
    let report = Report::decode(&message(
        r#"{"worker":{"id":"w","does":["dance","hold"]},
            "in_hand":[{"correlation":"c","held":"later"}],
            "events":[{"correlation":"c","seq":1,"event":"song","data":null}]}"#,
    ))
    .unwrap();
    assert_eq!(report.worker.does, [Does::Other, Does::Hold]);
    assert_eq!(report.in_hand[0].held, Held::No);
    assert_eq!(report.events[0].event, EventKind::Other);
}

#[test]
fn a_report_may_say_nothing_but_who_reports() {
    let report = Report::decode(&message(r#"{"worker":{"id":"w"}}"#)).unwrap();
    assert!(report.in_hand.is_empty() && report.events.is_empty() && !report.worker.greeted);
}

#[test]
fn a_report_of_nobody_is_refused() {
    let long = format!(r#"{{"worker":{{"id":"{}"}}}}"#, "w".repeat(129));
    for body in ["{}", r#"{"worker":{}}"#, r#"{"worker":{"id":""}}"#, &long] {
        let refused = Report::decode(&message(body)).map(|report| report.seq);
        assert!(matches!(refused, Err(Refused::Malformed(_))), "{body}");
    }
}

#[test]
fn what_is_no_json_is_refused_with_the_reason() {
    for body in ["", "hello", "{", r#"{"worker":5}"#] {
        assert!(Report::decode(&message(body)).is_err(), "{body}");
        assert!(Notice::decode(&message(body)).is_err(), "{body}");
    }
    let Err(Refused::Malformed(reason)) = Control::decode(&message("{")) else {
        panic!("not refused")
    };
    assert!(reason.contains("EOF"), "{reason}");
}
