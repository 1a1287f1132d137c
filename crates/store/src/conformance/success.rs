//! Successes.

use std::sync::Arc;

use bytes::Bytes;
use clerkwork_core::{
    Content, Event, Failure, JobId, Moment, Reply, Retry, State, UnixMs, transition,
};

use super::fixture::{Fixture, success};
use super::intake::bodies;
use crate::{INLINE, Succeeded, Success};

fn started(at: UnixMs) -> Event {
    Event::Started {
        attempt: 1,
        worker: "w1".into(),
        at,
    }
}

fn failed(fixture: &Fixture, retry: Retry) -> Event {
    let failure = Failure::new(Failure::HANDLER_ERROR, "it broke".to_owned(), 1);
    let reply = Reply::Failed { failure, retry };
    Event::Replied {
        attempt: 1,
        reply,
        worker: None,
        started_at: Some(fixture.now),
    }
}

/// The ways to each state of a job that was dispatched once.
fn ways(fixture: &Fixture) -> Vec<Vec<Event>> {
    let past = UnixMs(fixture.now.0 - 5_000);
    let asked = vec![started(fixture.now), Event::CancelAsked];
    let held = Event::Held {
        attempt: 1,
        worker: "w1".into(),
        started_at: UnixMs(fixture.now.0 + 5_000),
    };
    vec![
        vec![],
        vec![Event::Listed {
            attempt: 1,
            worker: "w1".into(),
        }],
        vec![Event::Doubted { attempt: 1 }],
        vec![started(past)],
        vec![held],
        asked,
        vec![failed(fixture, Retry::AfterMs(1_000))],
        vec![failed(fixture, Retry::Never)],
        vec![Event::CancelAsked],
    ]
}

pub async fn a_success_follows_the_state_machine_in_every_state(fixture: &mut Fixture) {
    let now = fixture.now;
    // A clock may be behind the one that wrote the row.
    let behind = UnixMs(now.0 - 10_000);
    let seen: [(UnixMs, Option<Arc<str>>, Option<UnixMs>); 4] = [
        (now, None, None),
        (now, Some("w2".into()), Some(UnixMs(now.0 - 1_000_000))),
        (now, Some("w2".into()), Some(UnixMs(now.0 + 1_000_000))),
        (behind, Some("w2".into()), Some(now)),
    ];
    for (now, worker, started_at) in seen {
        for way in ways(fixture) {
            let new = fixture.dispatched();
            let before = fixture.brought(new, way).await;
            let success = Success {
                worker: worker.clone(),
                started_at,
                ..success(before.id)
            };
            let event = Event::Replied {
                attempt: success.attempt,
                reply: Reply::Succeeded {
                    media_type: success.media_type.clone(),
                    output: success.output.clone(),
                },
                worker: worker.clone(),
                started_at,
            };
            let moment = Moment {
                now,
                ..fixture.moment()
            };
            let change = transition(&before, event, &moment);
            let content = Content {
                media_type: success.media_type.clone(),
                size: success.output.len() as u64,
            };
            let stored = fixture
                .recorder
                .succeed(&[success], now)
                .await
                .unwrap()
                .remove(0);
            let state = before.standing.state;
            match (stored, change) {
                (Succeeded::Recorded(recorded), Some(change)) => {
                    assert_eq!(recorded.rev, change.standing.rev, "from {state:?}");
                    assert_eq!(recorded.queue, before.queue);
                    let job = fixture.get(before.id).await;
                    assert_eq!(job.standing, change.standing, "from {state:?}");
                    assert_eq!(job.output, Some(content));
                }
                (Succeeded::Late, None) => {
                    assert_eq!(fixture.get(before.id).await.standing, before.standing);
                }
                (stored, change) => panic!("from {state:?}: {stored:?}, not {change:?}"),
            }
        }
    }
}

pub async fn the_first_success_of_a_job_counts(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(3).await;
    let said = |id: JobId, text: &'static str, attempt: u32| Success {
        output: Bytes::from_static(text.as_bytes()),
        attempt,
        ..success(id)
    };
    let batch = [
        said(ids[2], "1", 1),
        said(ids[0], "2", 1),
        said(ids[0], "3", 1),
        said(ids[1], "4", 9),
        said(ids[1], "5", 1),
        said(ids[1], "6", 1),
        said(JobId::at(fixture.now), "7", 1),
    ];
    let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    let short: Vec<char> = answers
        .iter()
        .map(|answer| match answer {
            Succeeded::Recorded(_) => 'r',
            Succeeded::Late => 'l',
            Succeeded::Missing => 'm',
            Succeeded::Unfit => 'u',
            Succeeded::Unanswered => '?',
        })
        .collect();
    assert_eq!(short, ['r', 'r', 'l', 'l', 'r', 'l', 'm']);
    for (id, text) in [(ids[0], "2"), (ids[1], "5"), (ids[2], "1")] {
        let output = fixture.store.output(None, id).await.unwrap().unwrap();
        assert_eq!(output.bytes, text);
    }
    let again = fixture
        .recorder
        .succeed(&batch[..1], fixture.now)
        .await
        .unwrap();
    assert!(matches!(again[..], [Succeeded::Late]));
}

pub async fn an_attempt_that_was_never_dispatched_cannot_succeed(fixture: &mut Fixture) {
    let waiting = fixture.job();
    fixture.accept(std::slice::from_ref(&waiting)).await;
    let dispatched = fixture.accept_dispatched(1).await[0];
    let large = Bytes::from(vec![1; 2 * INLINE]);
    let batch = [
        success(waiting.job.id),
        Success {
            attempt: 0,
            ..success(waiting.job.id)
        },
        Success {
            attempt: 0,
            ..success(dispatched)
        },
        Success {
            attempt: 2,
            output: large,
            ..success(dispatched)
        },
        Success {
            attempt: u32::MAX,
            ..success(dispatched)
        },
    ];
    let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Succeeded::Late)),
        "{answers:?}"
    );
    let right = Success {
        output: Bytes::from(vec![2; 2 * INLINE]),
        ..success(dispatched)
    };
    fixture
        .recorder
        .succeed(std::slice::from_ref(&right), fixture.now)
        .await
        .unwrap();
    let output = fixture
        .store
        .output(None, dispatched)
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.bytes == right.output,
        "the output of the attempt that counts"
    );
}

pub async fn outputs_of_every_size_come_back_byte_for_byte(fixture: &mut Fixture) {
    let bodies = bodies();
    let ids = fixture.accept_dispatched(bodies.len()).await;
    let text = |(id, body): (&JobId, &Bytes)| Success {
        output: body.clone(),
        media_type: "text/plain".to_owned(),
        ..success(*id)
    };
    let batch: Vec<Success> = ids.iter().zip(&bodies).map(text).collect();
    let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    assert!(
        answers
            .iter()
            .all(|one| matches!(one, Succeeded::Recorded(_))),
        "{answers:?}"
    );
    for (id, body) in ids.iter().zip(&bodies) {
        let blob = fixture.store.output(None, *id).await.unwrap().unwrap();
        assert_eq!(blob.content.media_type, "text/plain");
        assert!(blob.bytes == body, "{} bytes", body.len());
        assert_eq!(
            fixture.store.output(Some("other"), *id).await.unwrap(),
            None
        );
    }
}

pub async fn a_success_that_cannot_be_stored_does_not_hold_up_its_neighbours(
    fixture: &mut Fixture,
) {
    let ids = fixture.accept_dispatched(5).await;
    let mut batch: Vec<Success> = ids.iter().copied().map(success).collect();
    batch[1].media_type = "text/\0plain".to_owned();
    batch[4].worker = Some("\0".into());
    let answers = fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    for (at, answer) in answers.iter().enumerate() {
        let unfit = at == 1;
        assert_eq!(matches!(answer, Succeeded::Unfit), unfit, "{answer:?}");
        let state = fixture.get(ids[at]).await.standing.state;
        assert_eq!(state == State::Dispatched, unfit);
    }
    // Nothing is lost with the name of a worker.
    let worker = fixture.get(ids[4]).await.standing.worker;
    assert_eq!(worker.as_deref(), Some("\u{fffd}"));
}

pub async fn only_json_outputs_within_the_limit_come_along(fixture: &mut Fixture) {
    let ids = fixture.accept_dispatched(4).await;
    let json = |size: usize| Bytes::from(format!("\"{}\"", "x".repeat(size - 2)));
    let mut batch: Vec<Success> = ids.iter().copied().map(success).collect();
    for (success, size) in batch.iter_mut().zip([100, 5_000, 5_001, 100]) {
        success.output = json(size);
    }
    batch[3].media_type = "text/plain".to_owned();
    fixture.recorder.succeed(&batch, fixture.now).await.unwrap();
    let found = fixture.store.get(None, &ids, 5_000).await.unwrap();
    assert_eq!(found.len(), 4);
    for kept in found {
        let at = ids.iter().position(|id| *id == kept.job.id).unwrap();
        let expected = (at < 2).then(|| batch[at].output.clone());
        assert_eq!(kept.output, expected);
    }
}
