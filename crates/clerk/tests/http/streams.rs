//! `GET /v1/jobs/{id}/events`.

use std::time::{Duration, Instant};

use clerkwork_core::{Failure, Retry, event};
use clerkwork_wire::v1::EventKind;
use serde_json::json;

use crate::hands::{Attempt, Hands};
use crate::stream::{Seen, Stream};
use crate::support::{Office, request};

/// A job that runs, a stream of it after the state `running`, and who runs it.
async fn running() -> (Office, String, Stream, Hands, Attempt) {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let id = office.job().await;
    let mut stream = office.follow(&id, None).await;
    let attempt = hands.take().await;
    hands.tell(&attempt, &[]).await;
    stream.until("running").await;
    (office, id, stream, hands, attempt)
}

fn shorts(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::short).collect()
}

fn keys(object: &serde_json::Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn a_stream_begins_with_the_state_goes_on_live_and_closes_after_the_end() {
    let office = Office::open().await;
    let mut hands = office.hands().await;
    let id = office.job().await;
    let mut stream = office.follow(&id, None).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let state = stream.event().await;
    assert_eq!(state.short(), "state 1.1.0");
    assert_eq!(state.data["status"], "queued");
    let shown = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(keys(&state.data), keys(&shown));
    let attempt = hands.take().await;
    let at = "2026-11-24T10:00:07.120Z";
    let progress = json!({"fraction": 0.42, "message": "page 3 of 7", "at": at});
    let line = json!({"level": "warn", "message": "low on memory", "at": at});
    let part = json!({"index": 0, "data": {"any": ["json"]}});
    let told = [
        (1, EventKind::Progress, progress.clone()),
        (2, EventKind::Log, line.clone()),
        (3, EventKind::Chunk, part.clone()),
    ];
    hands.tell(&attempt, &told).await;
    // The state follows once the start is on record.
    let (mut seen, mut runs) = (Vec::new(), false);
    while seen.len() < 3 || !runs {
        let next = stream.event().await;
        if next.event == "state" {
            runs |= next.data["status"] == "running";
        } else {
            seen.push(next);
        }
    }
    let data: Vec<_> = seen.iter().map(|seen| seen.data.clone()).collect();
    assert_eq!(data, [progress.clone(), line, part]);
    let shown = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(shown["progress"], progress);
    let listed = office.get("/v1/jobs").await.json();
    assert_eq!(listed["jobs"][0]["progress"], progress);
    hands.succeed(attempt, "{\"pages\":\r\n7}", 3).await;
    let last = stream.rest().await.pop().unwrap();
    assert_eq!(last.short(), "state 3.1.3");
    assert_eq!(last.data["output"], json!({"pages": 7}));
    assert_eq!(last.data["progress"], json!(null));
    office.nobody_waits().await;
}

#[tokio::test]
async fn whoever_comes_back_with_the_position_of_the_end_gets_204() {
    let (office, id, mut stream, hands, attempt) = running().await;
    hands.succeed(attempt, "7", 0).await;
    let last = stream.until("succeeded").await;
    let path = format!("/v1/jobs/{id}/events");
    let mut again = request("GET", &path, "");
    let position = last.id.parse().unwrap();
    again.headers_mut().insert("last-event-id", position);
    assert_eq!(office.send(again).await.status, 204);
    let by_query = office.get(&format!("{path}?after={}", last.id)).await;
    assert_eq!((by_query.status.as_u16(), by_query.body.len()), (204, 0));
    // Without it, the end is shown once more.
    assert_eq!(office.follow(&id, None).await.rest().await.len(), 1);
}

#[tokio::test]
async fn a_position_resumes_after_it_and_what_is_no_position_counts_as_none() {
    let (office, id, mut stream, hands, attempt) = running().await;
    for seq in 1..=4 {
        hands.progress(&attempt, seq, 0.1).await;
        stream.event().await;
    }
    let mut resumed = office.follow(&id, Some("2.1.2")).await;
    assert_eq!(resumed.event().await.short(), "progress 2.1.3");
    assert_eq!(resumed.event().await.short(), "progress 2.1.4");
    let mut behind = office.follow(&id, Some("1.1.3")).await;
    assert_eq!(behind.event().await.short(), "state 2.1.3");
    assert_eq!(behind.event().await.short(), "progress 2.1.4");
    for none in ["", "2.1", "2.1.x", "999.1.1", "2.9.1", "\t"] {
        let mut anew = office.follow(&id, Some(none)).await;
        assert_eq!(anew.event().await.short(), "state 2.1.0", "{none:?}");
    }
    let unknown = office.get(&format!("/v1/jobs/{id}/events?before=1")).await;
    assert_eq!(unknown.problem(), "malformed-request");
}

#[tokio::test]
async fn events_come_in_order_and_once_whatever_way_they_took() {
    let (_office, _, mut stream, hands, attempt) = running().await;
    for seq in [2, 1, 2, 4, 3, 1] {
        hands.progress(&attempt, seq, 0.5).await;
    }
    hands.succeed(attempt, "7", 4).await;
    let expected = [
        "progress 2.1.1",
        "progress 2.1.2",
        "progress 2.1.3",
        "progress 2.1.4",
    ];
    let mut seen = shorts(&stream.rest().await);
    assert_eq!(seen.pop().unwrap(), "state 3.1.4");
    assert_eq!(seen, expected);
}

/// The first event for who resumes here. It waits for no hole to be filled, which takes half a second each time; a busy
/// machine takes as long now and then.
async fn first_at_once(office: &Office, id: &str, after: &str) -> (Stream, Seen) {
    for _ in 0..10 {
        let began = Instant::now();
        let mut stream = office.follow(id, Some(after)).await;
        let first = stream.event().await;
        if began.elapsed() < Duration::from_millis(450) {
            return (stream, first);
        }
    }
    panic!("each waited in vain");
}

#[tokio::test]
async fn events_that_are_gone_are_told_as_a_gap() {
    let (office, id, mut stream, hands, attempt) = running().await;
    hands.progress(&attempt, 5, 0.5).await;
    let gap = stream.event().await;
    assert_eq!(gap.short(), "gap 2.1.4");
    assert_eq!(gap.data, json!({"attempt": 1, "from": 1, "to": 4}));
    assert_eq!(stream.event().await.short(), "progress 2.1.5");
    let events: Vec<_> = (6..=1500)
        .map(|seq| (seq, EventKind::Progress, json!({})))
        .collect();
    hands.tell(&attempt, &events).await;
    while stream.event().await.id != "2.1.1500" {}
    let (mut late, gap) = first_at_once(&office, &id, "2.1.5").await;
    assert_eq!(gap.data, json!({"attempt": 1, "from": 6, "to": 476}));
    assert_eq!(late.event().await.short(), "progress 2.1.477");
}

#[tokio::test]
async fn the_last_progress_comes_before_the_end_however_late_its_report_is() {
    let (office, id, mut stream, hands, attempt) = running().await;
    let correlation = attempt.again();
    hands.succeed(attempt, "7", 1).await;
    office.comes_to(&id, "succeeded").await;
    hands.progress(&correlation, 1, 1.0).await;
    let seen = shorts(&stream.rest().await);
    assert_eq!(seen, ["progress 2.1.1", "state 3.1.1"]);
}

#[tokio::test]
async fn the_last_progress_comes_before_the_end_for_who_resumed_too() {
    let (office, id, mut stream, hands, attempt) = running().await;
    hands.progress(&attempt, 1, 0.1).await;
    assert_eq!(stream.event().await.short(), "progress 2.1.1");
    let mut resumed = office.follow(&id, Some("2.1.1")).await;
    let again = attempt.again();
    hands.succeed(attempt, "7", 2).await;
    office.comes_to(&id, "succeeded").await;
    hands.progress(&again, 2, 1.0).await;
    let seen = shorts(&resumed.rest().await);
    assert_eq!(seen, ["progress 2.1.2", "state 3.1.2"]);
}

#[tokio::test]
async fn an_end_waits_a_second_for_events_that_never_come_and_names_them() {
    let (_office, _, mut stream, hands, attempt) = running().await;
    let began = Instant::now();
    hands.succeed(attempt, "7", 3).await;
    let seen = stream.rest().await;
    assert_eq!(shorts(&seen), ["gap 2.1.3", "state 3.1.3"]);
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(700) && took < Duration::from_secs(15),
        "{took:?}"
    );
}

#[tokio::test]
async fn many_holes_delay_the_end_no_longer_than_one() {
    let (office, id, mut stream, hands, attempt) = running().await;
    let every_other: Vec<_> = (1..=20)
        .map(|half| (2 * half, EventKind::Progress, json!({})))
        .collect();
    hands.tell(&attempt, &every_other).await;
    hands.succeed(attempt, "7", 41).await;
    let began = Instant::now();
    let seen = stream.rest().await;
    // A second each would be 21.
    assert!(began.elapsed() < Duration::from_secs(10), "{began:?}");
    let count = |name| seen.iter().filter(|seen| seen.event == name).count();
    assert_eq!((count("progress"), count("gap")), (20, 21));
    assert_eq!(seen.last().unwrap().short(), "state 3.1.41");
    // By now the holes are old: who comes later does not wait for them.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, first) = first_at_once(&office, &id, "2.1.0").await;
    assert_eq!(first.short(), "gap 2.1.1");
}

#[tokio::test]
async fn the_state_of_a_new_attempt_comes_before_its_events_which_count_from_one_again() {
    let (office, id, mut stream, mut hands, attempt) = running().await;
    hands.progress(&attempt, 1, 0.9).await;
    let failed = event::Reply::Failed {
        failure: Failure::new(Failure::HANDLER_ERROR, "no".to_owned(), 1),
        retry: Retry::AfterMs(1),
    };
    hands.answer(attempt, failed, 1).await;
    let second = hands.take().await;
    hands.progress(&second, 1, 0.2).await;
    hands.succeed(second, "7", 1).await;
    let seen = stream.rest().await;
    let attempts: Vec<u64> = seen
        .iter()
        .filter(|seen| seen.event == "state")
        .map(|seen| seen.data["attempt"].as_u64().unwrap())
        .collect();
    assert!(attempts.is_sorted(), "{attempts:?}");
    let events: Vec<_> = seen
        .iter()
        .filter(|seen| seen.event == "progress")
        .collect();
    assert_eq!(events[0].data["fraction"], json!(0.9));
    assert_eq!(events[1].data["fraction"], json!(0.2));
    assert!(events[1].id.ends_with(".2.1"), "{:?}", events[1]);
    assert!(seen.last().unwrap().id.ends_with(".2.1"));
    let shown = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(shown["progress"], json!(null));
}

#[tokio::test]
async fn no_text_of_a_worker_leaves_its_line() {
    let (_office, _, mut stream, hands, attempt) = running().await;
    let nasty = "a\r\n\r\nevent: state\ndata: {}\n\n\u{1b}[31m\u{2028}\u{202e}\u{0}ä";
    let told = [
        (1, EventKind::Progress, json!({"message": nasty})),
        (
            2,
            EventKind::Log,
            json!({"level": "info", "message": nasty}),
        ),
        (3, EventKind::Chunk, json!({"index": 0, "data": nasty})),
    ];
    hands.tell(&attempt, &told).await;
    let reply = event::Reply::Succeeded {
        media_type: "application/json".to_owned(),
        output: "\"a\\n\\n\"\n\n".into(),
    };
    hands.answer(attempt, reply, 3).await;
    let seen = stream.rest().await;
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen[0].data["message"], nasty);
    assert_eq!(seen[1].data["message"], nasty);
    assert_eq!(seen[2].data["data"], nasty);
    assert_eq!(seen[3].data["output"], "a\n\n");
}

#[tokio::test]
async fn events_that_do_not_fit_or_are_of_no_attempt_of_ours_are_dropped() {
    let (_office, _, mut stream, hands, mut attempt) = running().await;
    let told = [
        (1, EventKind::Progress, json!({"fraction": 2})),
        (2, EventKind::Log, json!({"level": "loud", "message": "x"})),
        (
            3,
            EventKind::Chunk,
            json!({"index": 0, "data": "x".repeat(70_000)}),
        ),
        (0, EventKind::Progress, json!({"fraction": 0.1})),
        (4, EventKind::Progress, json!({"fraction": 0.4})),
    ];
    let right = std::mem::replace(&mut attempt.correlation, "forged".to_owned());
    hands.tell(&attempt, &told).await;
    attempt.correlation = right;
    hands.tell(&attempt, &told).await;
    let next = stream.event().await;
    assert_eq!(next.short(), "progress 2.1.4");
    assert_eq!(next.data["fraction"], json!(0.4));
}

#[tokio::test]
async fn a_large_output_is_left_out_of_events() {
    let (office, id, mut stream, hands, attempt) = running().await;
    let output = format!("\"{}\"", "x".repeat(64 * 1024));
    hands.succeed(attempt, &output, 0).await;
    let end = stream.until("succeeded").await;
    assert_eq!(end.data["output"], json!(null));
    assert_eq!(end.data["output_omitted"], json!(true));
    let shown = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(shown["output_omitted"], json!(false));
}

#[tokio::test]
async fn an_idle_stream_says_every_15_seconds_that_it_lives_and_ends_after_an_hour() {
    let (_office, _, mut stream, _hands, _attempt) = running().await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let (first, mut beats) = (stream.comments, 0);
    while stream.read().await {
        if stream.comments - first > beats {
            beats += 1;
            assert_eq!(began.elapsed().as_secs().div_ceil(15), beats);
        }
    }
    assert!((3585..=3600).contains(&began.elapsed().as_secs()));
    assert!(beats >= 239, "{beats}");
}

#[tokio::test]
async fn a_job_that_is_not_there_has_no_events() {
    let office = Office::open().await;
    for id in ["0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69", "x"] {
        let told = office.get(&format!("/v1/jobs/{id}/events")).await;
        assert_eq!(
            (told.status.as_u16(), told.problem()),
            (404, "not-found".to_owned())
        );
    }
}

#[tokio::test]
async fn beyond_the_most_streams_there_is_a_503_that_says_when_to_come_again() {
    let office = Office::with(|config| config.held_max = 1).await;
    let id = office.job().await;
    let first = office.follow(&id, None).await;
    let path = format!("/v1/jobs/{id}/events");
    let refused = office.get(&path).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "unavailable".to_owned())
    );
    assert_eq!(refused.header("retry-after"), "2");
    drop(first);
    office.nobody_waits().await;
    office.follow(&id, None).await;
}

#[tokio::test]
async fn a_clerk_that_drains_ends_its_streams_at_once() {
    let (office, id, mut stream, _hands, _attempt) = running().await;
    office.clerk.desk().draining.cancel();
    assert!(stream.rest().await.is_empty());
    assert!(office.follow(&id, None).await.rest().await.is_empty());
}
