//! Jobs go in and come out.

use bytes::Bytes;
use clerkwork_core::{Content, Trace, UnixMs};

use super::fixture::{Fixture, success};
use crate::{Accepted, NewJob, Succeeded};

fn bodies() -> Vec<Bytes> {
    let edge = crate::INLINE;
    [0, 1, edge - 1, edge, edge + 1, 1 << 20]
        .into_iter()
        .map(|size| {
            (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect()
        })
        .collect()
}

fn with_input(mut new: NewJob, input: Bytes) -> NewJob {
    new.job.input = Content {
        media_type: "application/octet-stream".to_owned(),
        size: input.len() as u64,
    };
    new.input = input;
    new
}

pub async fn accepted_jobs_come_back_as_they_were(fixture: &mut Fixture) {
    let mut full = fixture.job_due(UnixMs(fixture.now.0 + 60_000));
    full.job.spec.tags = vec!["a:1".parse().unwrap(), "b".parse().unwrap()];
    full.job.spec.start_within_s = Some(7);
    full.job.spec.webhook = Some("https://example.org/hook".to_owned());
    full.job.spec.trace = Some(Trace {
        parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        state: Some("a=b".to_owned()),
    });
    let jobs = [full, fixture.job(), fixture.dispatched()];
    fixture.accept(&jobs).await;
    for new in &jobs {
        let kept = fixture.get(new.job.id).await;
        assert_eq!(format!("{kept:?}"), format!("{:?}", new.job));
    }
    let again = fixture.writer.accept(&jobs).await.unwrap();
    assert_eq!(again, vec![Accepted::Already; jobs.len()]);
}

pub async fn inputs_of_every_kind_and_size_come_back_byte_for_byte(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = bodies()
        .into_iter()
        .map(|body| with_input(fixture.job(), body))
        .collect();
    fixture.accept(&jobs).await;
    for new in &jobs {
        let blob = fixture
            .store
            .input(Some("default"), new.job.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(blob.content, new.job.input);
        assert!(blob.bytes == new.input, "{} bytes", new.input.len());
        assert_eq!(
            fixture
                .store
                .input(Some("other"), new.job.id)
                .await
                .unwrap(),
            None
        );
        assert_eq!(fixture.store.output(None, new.job.id).await.unwrap(), None);
    }
}

pub async fn outputs_of_every_kind_and_size_come_back_byte_for_byte(fixture: &mut Fixture) {
    let bodies = bodies();
    let ids = fixture.accept_dispatched(bodies.len()).await;
    let successes: Vec<_> = ids
        .iter()
        .zip(&bodies)
        .map(|(id, body)| crate::Success {
            output: body.clone(),
            media_type: "text/plain".to_owned(),
            ..success(*id)
        })
        .collect();
    let recorded = fixture
        .recorder
        .succeed(&successes, fixture.now)
        .await
        .unwrap();
    assert!(
        recorded
            .iter()
            .all(|one| matches!(one, Succeeded::Recorded(_))),
        "{recorded:?}"
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
