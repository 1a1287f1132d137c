//! Storage is given back.

use std::time::Duration;

use bytes::Bytes;
use clerkwork_core::{Event, JobId, UnixMs};

use super::fixture::{Fixture, success};
use super::intake::with_input;
use crate::{INLINE, NewJob, WorkerRow};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Prunes until so many jobs are gone; a store may leave a day that somebody just reads for later.
pub(super) async fn prune(fixture: &Fixture, now: UnixMs, retention: Duration, expected: u64) {
    let mut gone = 0;
    for _ in 0..500 {
        gone += fixture.store.prune(now, retention).await.unwrap();
        if gone >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gone, expected);
}

pub async fn pruning_takes_what_is_done_for_the_retention_and_nothing_else(fixture: &mut Fixture) {
    let large = Bytes::from(vec![3; 2 * INLINE]);
    let mut old: Vec<NewJob> = (0..4)
        .map(|_| with_input(fixture.dispatched(), large.clone()))
        .collect();
    let mut far = with_input(fixture.job_due(UnixMs(fixture.now.0 * 2)), large.clone());
    far.job.spec.tags = vec!["far".parse().unwrap()];
    old.push(far);
    fixture.accept(&old).await;
    let ids: Vec<JobId> = old.iter().map(|new| new.job.id).collect();
    let done: Vec<_> = ids[..4].iter().copied().map(success).collect();
    fixture.recorder.succeed(&done, fixture.now).await.unwrap();
    assert_eq!(fixture.store.prune(fixture.now, 7 * DAY).await.unwrap(), 0);

    // Days later, a job that is done at once.
    let accepted = fixture.now;
    fixture.now = accepted.after(3 * DAY);
    let young = with_input(fixture.dispatched(), large.clone());
    fixture.accept(std::slice::from_ref(&young)).await;
    fixture
        .recorder
        .succeed(&[success(young.job.id)], fixture.now)
        .await
        .unwrap();

    prune(fixture, accepted.after(6 * DAY), 7 * DAY, 0).await;
    prune(fixture, accepted.after(8 * DAY + DAY / 2), 7 * DAY, 4).await;
    assert!(
        fixture
            .store
            .get(None, &ids[..4], 0)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(fixture.store.input(None, ids[0]).await.unwrap(), None);
    for new in [&old[4], &young] {
        let kept = fixture.get(new.job.id).await;
        assert_eq!(kept.spec, new.job.spec);
        let input = fixture.store.input(None, kept.id).await.unwrap().unwrap();
        assert!(input.bytes == large, "its input is still there");
    }
    assert!(fixture.happens(ids[4], Event::CancelAsked).await);
    prune(fixture, accepted.after(20 * DAY), 7 * DAY, 2).await;
    let late = fixture
        .recorder
        .succeed(&[success(ids[0])], fixture.now)
        .await
        .unwrap();
    assert!(matches!(late[..], [crate::Succeeded::Missing]), "{late:?}");
}

pub async fn pruning_forgets_old_cancels_workers_and_clerks(fixture: &mut Fixture) {
    let id = fixture.accept_dispatched(1).await[0];
    assert!(fixture.happens(id, Event::CancelAsked).await);
    let worker = WorkerRow {
        id: "w".to_owned(),
        seq: 1,
        seen_at: fixture.now,
        in_hand: vec![],
        about: "{}".to_owned(),
    };
    fixture.store.keep_workers(&[worker]).await.unwrap();
    let noon = UnixMs(fixture.now.0 - fixture.now.0.rem_euclid(86_400_000) + 43_200_000);
    let store = fixture.store.clone();
    for (now, left) in [(fixture.now.after(DAY / 2), 1), (noon.after(3 * DAY), 0)] {
        store.prune(now, 7 * DAY).await.unwrap();
        assert_eq!(store.workers(None, UnixMs(0)).await.unwrap().len(), left);
        // A queue may keep what was cancelled for as long as the job is there.
        assert_eq!(store.cancels(0, 10).await.unwrap().len(), 1);
    }
    fixture.accept(&[fixture.job()]).await;
    prune(fixture, noon.after(10 * DAY), 7 * DAY, 1).await;
    store.prune(noon.after(10 * DAY), 7 * DAY).await.unwrap();
    assert_eq!(store.cancels(0, 10).await.unwrap(), []);
}
