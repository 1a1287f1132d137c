//! Every golden message is read for ever, means what it meant, and is written the same again.

use std::fs;

use clerkwork_core::{ClerkId, Retry, Status, Trace, UnixMs, event};
use clerkwork_wire::Envelope;
use clerkwork_wire::v1::{
    Control, Does, EventKind, Granted, Held, Job, Notice, Reply, Report, Stopped, Told,
    decode_replies, pack,
};
use sha2::{Digest as _, Sha256};

use crate::fixture::{folder, names, read};

const JOB: &str = "019ab0a2-0700-7776-bb8c-9c806374fd9a";
const OTHER: &str = "019ab0a2-0700-7931-af6e-a4d90a1f0431";
const CORRELATION: &str = "AZqwogcAd3a7jJyAY3T9mgAAAAEAAAACAAAAAAAAAAcBa0Jr3n1Xy2mQe0Vt9Zp4rA";

fn again(name: &str, envelope: &Envelope) -> Envelope {
    match name.split('-').next().unwrap() {
        "job" => Job::decode(envelope).unwrap().encode(),
        "reply" => only_reply(envelope).encode(),
        "replies" => pack(decode_replies(envelope).unwrap().replies),
        "report" => Report::decode(envelope).unwrap().encode(),
        "notice" => Notice::decode(envelope).unwrap().encode(),
        "control" => Control::decode(envelope).unwrap().encode(),
        other => panic!("no message is called {other}"),
    }
}

fn only_reply(envelope: &Envelope) -> Reply {
    let mut packed = decode_replies(envelope).unwrap();
    assert_eq!((packed.replies.len(), &packed.broken), (1, &None));
    packed.replies.remove(0)
}

fn outcome(name: &str) -> event::Reply {
    only_reply(&read(name)).outcome(1).unwrap()
}

fn control(name: &str) -> Control {
    Control::decode(&read(name)).unwrap()
}

fn stopped(job: &str, attempt: u32) -> Stopped {
    Stopped {
        job: job.to_owned(),
        attempt,
    }
}

#[test]
fn every_golden_message_is_written_again_as_it_was_read() {
    let names = names();
    assert!(names.len() >= 38, "only {} golden messages", names.len());
    for name in names {
        let envelope = read(&name);
        assert_eq!(again(&name, &envelope), envelope, "{name}");
    }
}

#[test]
fn no_golden_message_was_edited() {
    let sums = fs::read_to_string(folder().join("SHA256SUMS")).unwrap();
    let names = names();
    assert_eq!(sums.lines().count(), names.len());
    for name in names {
        let digest = Sha256::digest(fs::read(folder().join(format!("{name}.txt"))).unwrap());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{hex}  {name}.txt");
        assert!(
            sums.lines().any(|sum| sum == line),
            "not in SHA256SUMS: {line}"
        );
    }
}

#[test]
fn the_golden_jobs_mean_what_they_meant() {
    let job = Job::decode(&read("job-with-everything")).unwrap();
    let expected = Job {
        message_id: format!("{JOB}:3"),
        correlation: CORRELATION.to_owned(),
        reply_to: "clerkwork.replies".to_owned(),
        content_type: "application/json".to_owned(),
        input: r#"{"a":1,"a":123456789012345678901234567890,"z":"\u0000"}"#.into(),
        timeout_ms: 600_000,
        dispatched_at: UnixMs(1_763_900_000_019),
        start_by: Some(UnixMs(1_763_900_060_000)),
        ask: true,
        trace: Some(Trace {
            parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
            state: Some("vendor=1".to_owned()),
        }),
        tenant: Some("t_8f3a".to_owned()),
    };
    assert_eq!(job, expected);
    assert_eq!(job.names(), Some((JOB, 3)));
    let bare = Job::decode(&read("job")).unwrap();
    assert_eq!(
        (bare.start_by, bare.ask, bare.trace, bare.tenant),
        (None, false, None, None)
    );
    let bytes = Job::decode(&read("job-of-bytes")).unwrap();
    assert_eq!(
        (bytes.content_type.as_str(), bytes.input.len()),
        ("image/png", 10)
    );
}

#[test]
fn the_golden_replies_mean_what_they_meant() {
    let event::Reply::Succeeded { media_type, output } = outcome("reply-of-a-plain-worker") else {
        panic!("no success")
    };
    assert_eq!(
        (media_type.as_str(), &output[..]),
        ("application/json", &br#"{"pages":7}"#[..])
    );
    let full = only_reply(&read("reply-succeeded"));
    assert_eq!(full.started_at(), Some(UnixMs(1_763_900_000_040)));
    assert_eq!(full.head.duration_ms, Some(1234));
    assert_eq!(full.head.worker.as_deref(), Some("w-5b1c0e7a92d44f06"));
    assert_eq!(full.events(), 0);
    assert_eq!(
        only_reply(&read("reply-succeeded-after-events")).events(),
        3
    );

    let failed = |name| match outcome(name) {
        event::Reply::Failed { failure, retry } => (failure, retry),
        other => panic!("no failure: {other:?}"),
    };
    let (failure, retry) = failed("reply-failed");
    assert_eq!(failure.kind, "https://example.com/problems/no-template");
    assert_eq!(
        (failure.title.as_str(), failure.attempt),
        ("There is no such template", 1)
    );
    assert_eq!(failure.detail.as_deref(), Some("invoice"));
    assert_eq!(failure.data.unwrap().get(), r#"{"known":["letter"]}"#);
    assert_eq!(retry, Retry::Policy);
    assert_eq!(failed("reply-failed-for-good").1, Retry::Never);
    let (failure, retry) = failed("reply-failed-for-a-while");
    assert_eq!(
        (failure.detail.as_deref(), retry),
        (Some("the printer is busy"), Retry::AfterMs(30_000))
    );
    assert_eq!(failed("reply-failed-without-a-word").0.detail, None);

    assert!(matches!(
        outcome("reply-cancelled"),
        event::Reply::Cancelled
    ));
    assert!(matches!(outcome("reply-expired"), event::Reply::Expired));
    assert!(matches!(outcome("reply-returned"), event::Reply::Returned));
    assert!(matches!(
        outcome("reply-returned-not-started"),
        event::Reply::NotStarted
    ));
    let packed = decode_replies(&read("replies")).unwrap();
    let outcomes: Vec<_> = packed
        .replies
        .iter()
        .map(|reply| reply.head.outcome.as_deref())
        .collect();
    assert_eq!(outcomes, [None, None, Some("failed"), Some("cancelled")]);
    assert_eq!(&packed.replies[1].body[..], [0, 1, 0xfe, 0xff]);
}

#[test]
fn the_golden_reports_mean_what_they_meant() {
    let report = |name| Report::decode(&read(name)).unwrap();
    let greet = report("report-to-be-greeted");
    assert_eq!(
        (greet.worker.greeted, greet.worker.missing),
        (false, vec!["thumbs".to_owned()])
    );
    assert_eq!(
        (greet.worker.every_ms, greet.worker.queues["render"]),
        (5000, 8)
    );
    let work = report("report-of-work");
    let held: Vec<_> = work
        .in_hand
        .iter()
        .map(|job| (job.started_at.is_some(), job.held))
        .collect();
    let expected = [
        (false, Held::No),
        (true, Held::No),
        (true, Held::Asked),
        (true, Held::Yes),
    ];
    assert_eq!((held.as_slice(), work.seq), (&expected[..], 17));
    let events = report("report-of-events").events;
    let kinds: Vec<_> = events
        .iter()
        .map(|event| (event.seq, event.event))
        .collect();
    assert_eq!(
        kinds,
        [
            (1, EventKind::Progress),
            (2, EventKind::Log),
            (3, EventKind::Chunk)
        ]
    );
    assert_eq!(events[2].data.get(), r#"{"index":0,"data":{"any":"json"}}"#);
    let asks = report("report-that-asks");
    assert_eq!(asks.worker.does, [Does::Ask, Does::Hold, Does::Cancel]);
    assert_eq!((asks.asking.len(), asks.worker.draining), (2, true));
    let stands = report("report-that-cannot-start").worker.cannot_start;
    assert_eq!(stands.len(), 1);
    assert!(stands["render"].contains("Connection refused"));
}

#[test]
fn the_golden_notices_mean_what_they_meant() {
    let notice = |name| Notice::decode(&read(name)).unwrap();
    let states: Vec<_> = notice("notice-of-states")
        .jobs
        .iter()
        .map(|job| job.status)
        .collect();
    assert_eq!(states, Status::ALL);
    let outcomes = notice("notice-of-outcomes").outcomes;
    assert_eq!(
        outcomes[&ClerkId(8)][0].output.as_ref().unwrap().get(),
        r#"{"pages":7}"#
    );
    assert_eq!(outcomes[&ClerkId(12)][0].error.as_ref().unwrap().attempt, 3);
    assert_eq!(notice("notice-of-events").events.len(), 3);
    let ends = notice("notice-of-an-end-after-events").jobs;
    assert_eq!(ends[0].told, Some(Told { attempt: 1, seq: 3 }));
    assert!(Notice::is_from(&read("notice-of-events"), ClerkId(7)));
    assert!(!Notice::is_from(&read("notice-of-events"), ClerkId(8)));
}

#[test]
fn the_golden_controls_mean_what_they_meant() {
    assert_eq!(
        control("control-cancel").cancel,
        [stopped(JOB, 1), stopped(OTHER, 3)]
    );
    assert_eq!(control("control-pause").pause, ["render"]);
    assert_eq!(control("control-resume").resume, ["render"]);
    let hello = control("control-hello");
    assert_eq!((hello.hello.as_deref(), hello.complete), (Some("7"), false));
    assert_eq!(
        (hello.cancelled, hello.paused),
        (vec![stopped(JOB, 1)], vec!["thumbs".to_owned()])
    );
    assert!(control("control-hello-complete").complete);
    let granted = Granted {
        message: format!("{JOB}:3"),
        correlation: "AZqwogcAeTGvbqTZCh8EMQAAAAMAAAAJAAAAAAAAAAcBq7ZkXo2F0cT8sWmJd5yHhQ"
            .to_owned(),
        attempt: None,
    };
    let anew = Granted {
        attempt: Some(4),
        ..granted.clone()
    };
    assert_eq!(control("control-granted").granted, [granted]);
    assert_eq!(control("control-granted-anew").granted, [anew]);
    assert_eq!(control("control-refused").refused, [format!("{JOB}:1")]);
    assert_eq!(
        control("control-held").held,
        [format!("{JOB}:1"), format!("{OTHER}:3")]
    );
    assert!(control("control-quiet").quiet);
    assert!(control("control-stop").stop);
}
