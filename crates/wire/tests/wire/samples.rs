//! Messages of any content.

use bytes::Bytes;
use clerkwork_core::{Trace, UnixMs};
use clerkwork_wire::v1::{
    Control, Does, EventKind, Granted, Head, Held, InHand, Job, Reply, Report, Stopped,
    WorkerEvent, WorkerInfo,
};
use clerkwork_wire::{Envelope, HeaderValue};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn bodies() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn texts() -> impl Strategy<Value = String> {
    ".{0,40}"
}

pub(crate) fn jobs() -> impl Strategy<Value = Job> {
    let trace = of((texts(), of(texts())))
        .prop_map(|trace| trace.map(|(parent, state)| Trace { parent, state }));
    let names = (texts(), texts(), texts(), texts());
    let times = (0u64..=i64::MAX as u64, any::<i64>(), of(any::<i64>()));
    (names, bodies(), times, any::<bool>(), trace, of(texts())).prop_map(
        |(names, input, times, ask, trace, tenant)| Job {
            message_id: names.0,
            correlation: names.1,
            reply_to: names.2,
            content_type: names.3,
            input,
            timeout_ms: times.0,
            dispatched_at: UnixMs(times.1),
            start_by: times.2.map(UnixMs),
            ask,
            trace,
            tenant,
        },
    )
}

pub(crate) fn replies() -> impl Strategy<Value = Reply> {
    let texts = (
        texts(),
        of(texts()),
        of(texts()),
        of(texts()),
        of(texts()),
        of(texts()),
        of(texts()),
    );
    let ints = (of(any::<i64>()), of(any::<i64>()), of(any::<i64>()));
    (texts, ints, bodies()).prop_map(|(texts, (started_at, duration_ms, events), body)| Reply {
        head: Head {
            correlation: texts.0,
            content_type: texts.1,
            outcome: texts.2,
            retry: texts.3,
            worker: texts.4,
            traceparent: texts.5,
            not_started: texts.6,
            started_at,
            duration_ms,
            events,
        },
        body,
    })
}

fn workers() -> impl Strategy<Value = WorkerInfo> {
    let does = select(vec![Does::Ask, Does::Hold, Does::Cancel]);
    let reasons = btree_map(texts_of_queues(), texts(), 0..3);
    let texts = (".{1,40}", texts(), texts(), texts(), texts());
    let queues = (
        btree_map(texts_of_queues(), any::<u32>(), 0..3),
        vec(texts_of_queues(), 0..3),
        reasons,
    );
    (
        texts,
        any::<u32>(),
        vec(does, 0..3),
        queues,
        any::<[bool; 2]>(),
        any::<u64>(),
    )
        .prop_map(
            |(texts, pid, does, (queues, missing, cannot_start), [greeted, draining], every_ms)| {
                WorkerInfo {
                    id: texts.0.chars().take(30).collect(),
                    host: texts.1,
                    pid,
                    sdk: texts.2,
                    version: texts.3,
                    control: texts.4,
                    does,
                    queues,
                    missing,
                    cannot_start,
                    greeted,
                    draining,
                    every_ms,
                }
            },
        )
}

fn texts_of_queues() -> impl Strategy<Value = String> {
    "[a-z]{1,5}"
}

pub(crate) fn reports() -> impl Strategy<Value = Report> {
    let held = select(vec![Held::No, Held::Asked, Held::Yes]);
    let in_hand =
        (texts(), of(any::<i64>()), held).prop_map(|(correlation, started_at, held)| InHand {
            correlation,
            started_at,
            held,
        });
    let kind = select(vec![EventKind::Progress, EventKind::Log, EventKind::Chunk]);
    let event =
        (texts(), any::<u64>(), kind, texts()).prop_map(|(correlation, seq, event, data)| {
            let data = serde_json::value::to_raw_value(&data).unwrap();
            WorkerEvent {
                correlation,
                seq,
                event,
                data,
            }
        });
    (
        workers(),
        any::<i64>(),
        vec(in_hand, 0..4),
        vec(texts(), 0..3),
        vec(event, 0..4),
    )
        .prop_map(|(worker, seq, in_hand, asking, events)| Report {
            worker,
            seq,
            in_hand,
            asking,
            events,
        })
}

pub(crate) fn controls() -> impl Strategy<Value = Control> {
    let stopped = || {
        let stopped = (texts(), any::<u32>()).prop_map(|(job, attempt)| Stopped { job, attempt });
        vec(stopped, 0..3)
    };
    let granted =
        (texts(), texts(), of(any::<u32>())).prop_map(|(message, correlation, attempt)| Granted {
            message,
            correlation,
            attempt,
        });
    let lists = (vec(texts(), 0..3), vec(texts(), 0..3), vec(texts(), 0..3));
    let to_one = (
        of(texts()),
        vec(granted, 0..3),
        vec(texts(), 0..3),
        vec(texts(), 0..3),
    );
    (stopped(), stopped(), lists, to_one, any::<[bool; 3]>()).prop_map(
        |(cancel, cancelled, lists, to_one, [complete, quiet, stop])| Control {
            cancel,
            pause: lists.0,
            resume: lists.1,
            hello: to_one.0,
            cancelled,
            paused: lists.2,
            complete,
            granted: to_one.1,
            refused: to_one.2,
            held: to_one.3,
            quiet,
            stop,
        },
    )
}

/// What anybody may send: any properties, headers of the names that count, any body.
pub(crate) fn envelopes() -> impl Strategy<Value = Envelope> {
    let names = [
        "timeout-ms",
        "dispatched-at",
        "start-by",
        "ask",
        "outcome",
        "retry",
        "worker",
        "started-at",
        "duration-ms",
        "events",
        "traceparent",
        "clerk",
        "clerkwork-version",
        "x-other",
    ];
    let value = prop_oneof![
        any::<i64>().prop_map(HeaderValue::from),
        any::<bool>().prop_map(HeaderValue::from),
        texts().prop_map(HeaderValue::from),
    ];
    let kind = of(select(vec!["job", "replies", "report", "other"]).prop_map(str::to_owned));
    let properties = (of(texts()), of(texts()), of(texts()), of(texts()), kind);
    let body = prop_oneof![bodies(), almost_json()];
    (properties, vec((select(names.to_vec()), value), 0..6), body).prop_map(
        |(properties, headers, body)| {
            let mut envelope = Envelope {
                content_type: properties.0,
                correlation_id: properties.1,
                reply_to: properties.2,
                message_id: properties.3,
                kind: properties.4,
                body,
                ..Envelope::default()
            };
            for (name, value) in headers {
                envelope.headers.set(name, value);
            }
            envelope
        },
    )
}

/// Pieces of JSON in any order; now and then they fit.
fn almost_json() -> impl Strategy<Value = Bytes> {
    vec(
        select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"worker\"",
            "\"id\"",
            "\"clerk\"",
            "\"jobs\"",
            "1",
            "null",
            "\"in_hand\"",
            "\"cancel\"",
            "true",
            "\"\\ud800\"",
            " ",
        ]),
        0..20,
    )
    .prop_map(|tokens| Bytes::from(tokens.concat()))
}
