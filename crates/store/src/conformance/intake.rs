//! New jobs go in and come out.

use bytes::Bytes;
use clerkwork_core::{Content, Event, JobId, Trace, UnixMs};

use super::fixture::Fixture;
use crate::{Accepted, INLINE, NewJob};

/// Bytes of the sizes around every edge.
pub(super) fn bodies() -> Vec<Bytes> {
    [0, 1, INLINE - 1, INLINE, INLINE + 1, 1 << 20]
        .into_iter()
        .map(|size| {
            (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect()
        })
        .collect()
}

pub(super) fn with_input(mut new: NewJob, input: Bytes) -> NewJob {
    let media_type = "application/octet-stream".to_owned();
    new.job.input = Content {
        media_type,
        size: input.len() as u64,
    };
    new.input = input;
    new
}

/// A job with something in every field that a client fills.
fn full(fixture: &Fixture) -> NewJob {
    let mut new = fixture.job_due(UnixMs(fixture.now.0 + 60_000));
    new.job.spec.tags = vec!["a:1".parse().unwrap(), "b".parse().unwrap()];
    new.job.spec.start_within_s = Some(7);
    new.job.spec.webhook = Some("https://example.org/hook".to_owned());
    new.job.spec.trace = Some(Trace {
        parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        state: Some("a=b".to_owned()),
    });
    new
}

pub async fn accepted_jobs_come_back_as_they_were(fixture: &mut Fixture) {
    let jobs = [full(fixture), fixture.job(), fixture.dispatched()];
    fixture.accept(&jobs).await;
    for new in &jobs {
        let kept = fixture.get(new.job.id).await;
        assert_eq!(format!("{kept:?}"), format!("{:?}", new.job));
        let loaded = fixture.load(new.job.id).await;
        assert_eq!(format!("{loaded:?}"), format!("{:?}", new.job));
    }
    let unknown = JobId::at(fixture.now);
    assert!(
        fixture
            .store
            .get(None, &[unknown], 0)
            .await
            .unwrap()
            .is_empty()
    );
    let far = JobId::first_of(UnixMs(fixture.now.0 * 2));
    let ids = [jobs[0].job.id, far];
    assert_eq!(
        fixture
            .store
            .get(Some("default"), &ids, 0)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        fixture
            .store
            .get(Some("other"), &ids, 0)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_job_that_is_sent_twice_is_stored_once(fixture: &mut Fixture) {
    let first = with_input(full(fixture), Bytes::from(vec![7; 2 * INLINE]));
    fixture.accept(std::slice::from_ref(&first)).await;
    let mut second = first.clone();
    second.job.spec.timeout_s = 1;
    let new = fixture.job();
    let answers = fixture
        .writer
        .accept(&[second, new.clone(), new])
        .await
        .unwrap();
    assert_eq!(
        answers,
        [Accepted::Already, Accepted::New, Accepted::Already]
    );
    assert_eq!(fixture.get(first.job.id).await.spec, first.job.spec);
    assert!(fixture.writer.accept(&[]).await.unwrap().is_empty());
}

pub async fn inputs_of_every_size_come_back_byte_for_byte(fixture: &mut Fixture) {
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
    assert_eq!(
        fixture
            .store
            .input(None, JobId::at(fixture.now))
            .await
            .unwrap(),
        None
    );
}

pub async fn a_job_that_cannot_be_stored_does_not_hold_up_its_neighbours(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..9).map(|_| fixture.job()).collect();
    jobs[3].job.input.media_type = "text/\0plain".to_owned();
    jobs[8].job.tenant = "\0".into();
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    for (at, new) in jobs.iter().enumerate() {
        let unfit = at == 3 || at == 8;
        assert_eq!(
            answers[at],
            if unfit {
                Accepted::Unfit
            } else {
                Accepted::New
            }
        );
        let found = fixture.store.get(None, &[new.job.id], 0).await.unwrap();
        assert_eq!(found.len(), usize::from(!unfit));
    }
}

pub async fn a_retry_by_hand_is_made_once_and_only_of_what_ended_badly(fixture: &mut Fixture) {
    let waiting = fixture.job();
    let cancelled = fixture
        .brought(fixture.job(), vec![Event::CancelAsked])
        .await;
    fixture.accept(std::slice::from_ref(&waiting)).await;
    let retry = |fixture: &Fixture, of: JobId| {
        let mut new = fixture.job();
        new.job.retry_of = Some(of);
        new
    };
    let first = retry(fixture, cancelled.id);
    let jobs = [
        retry(fixture, waiting.job.id),
        first.clone(),
        retry(fixture, cancelled.id),
        retry(fixture, JobId::at(fixture.now)),
    ];
    let answers = fixture.writer.accept(&jobs).await.unwrap();
    let replayed = Accepted::Replayed(first.job.id);
    assert_eq!(
        answers,
        [
            Accepted::NoOriginal,
            Accepted::New,
            replayed,
            Accepted::NoOriginal
        ]
    );
    assert_eq!(
        fixture.get(cancelled.id).await.retried_as,
        Some(first.job.id)
    );
    assert_eq!(fixture.get(first.job.id).await.retry_of, Some(cancelled.id));
    let mut stranger = retry(fixture, cancelled.id);
    stranger.job.tenant = "other".into();
    let answers = fixture.writer.accept(&[stranger, first]).await.unwrap();
    assert_eq!(answers, [Accepted::NoOriginal, Accepted::Already]);
}
