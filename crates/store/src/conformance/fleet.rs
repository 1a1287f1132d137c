//! Clerks that come and go, and what workers say.

use std::time::Duration;

use clerkwork_core::{Event, JobId, State, UnixMs};

use super::fixture::Fixture;
use crate::{Error, HandOut, NewJob, Watermark, WorkerRow};

fn watermark(fixture: &Fixture, number: i64) -> Watermark {
    Watermark {
        number,
        at: fixture.now,
    }
}

pub async fn a_takeover_doubts_what_nobody_was_seen_with_from_the_watermark_on(
    fixture: &mut Fixture,
) {
    let ids = fixture.accept_dispatched(6).await;
    let started = Event::Started {
        attempt: 1,
        worker: "w".into(),
        at: fixture.now,
    };
    assert!(fixture.happens(ids[3], started).await);
    assert!(
        fixture
            .happens(
                ids[4],
                Event::Listed {
                    attempt: 1,
                    worker: "w".into()
                }
            )
            .await
    );
    let old = old_job_from_the_backlog(fixture, 7).await;
    let theirs = job_of_another_clerk(fixture).await;
    let mark = watermark(fixture, 3);
    fixture.writer.heartbeat(mark, fixture.now).await.unwrap();

    let later = fixture.now.after(Duration::from_secs(11));
    let doubted = fixture
        .store
        .take_over(fixture.clerk(), fixture.now, later)
        .await
        .unwrap();
    assert_eq!(doubted, 3);
    let (queued, dispatched) = (State::Queued, State::Dispatched);
    let mut states = Vec::new();
    for id in ids.iter().chain([&old, &theirs]) {
        let job = fixture.get(*id).await;
        assert_eq!(job.standing.doubts, u32::from(job.standing.state == queued));
        states.push(job.standing.state);
    }
    let expected = [
        dispatched,
        dispatched,
        queued,
        State::Running,
        dispatched,
        queued,
        queued,
        dispatched,
    ];
    assert_eq!(states, expected);
    let again = fixture
        .store
        .take_over(fixture.clerk(), later, later)
        .await
        .unwrap();
    assert_eq!(again, 0, "it is closed");
}

pub async fn a_takeover_fences_its_clerk_for_good(fixture: &mut Fixture) {
    let listed = |fixture: &Fixture, rows: Vec<crate::ClerkRow>| {
        rows.into_iter().find(|row| row.id == fixture.clerk())
    };
    let rows = fixture.store.clerks().await.unwrap();
    let row = listed(fixture, rows).unwrap();
    assert_eq!((row.name.as_str(), row.fenced), ("clerk", false));
    let mark = watermark(fixture, 5);
    fixture.writer.heartbeat(mark, fixture.now).await.unwrap();
    let rows = fixture.store.clerks().await.unwrap();
    let row = listed(fixture, rows).unwrap();
    assert_eq!((row.watermark, row.seen_at), (mark, fixture.now));

    fixture
        .store
        .take_over(fixture.clerk(), fixture.now, fixture.now)
        .await
        .unwrap();
    let rows = fixture.store.clerks().await.unwrap();
    assert_eq!(listed(fixture, rows), None);
    let plain = [fixture.job()];
    let mut keyed = [fixture.job()];
    keyed[0].key = Some(crate::Key {
        key: [1; 32],
        fingerprint: [1; 32],
    });
    for jobs in [&plain, &keyed] {
        let mut writer = std::mem::replace(
            &mut fixture.writer,
            fixture.store.writer("next").await.unwrap(),
        );
        let refused = writer.accept(jobs).await;
        assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
        assert!(
            fixture
                .store
                .get(None, &[jobs[0].job.id], 0)
                .await
                .unwrap()
                .is_empty()
        );
        let now = fixture.now;
        fixture
            .store
            .take_over(fixture.clerk(), fixture.store.now().await.unwrap(), now)
            .await
            .unwrap();
    }
    let refused = fixture.writer.heartbeat(mark, fixture.now).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
}

pub async fn a_clerk_that_was_heard_from_is_not_taken_over(fixture: &mut Fixture) {
    let id = fixture.accept_dispatched(1).await[0];
    let mark = watermark(fixture, 1);
    fixture.writer.heartbeat(mark, fixture.now).await.unwrap();
    let silent_since = UnixMs(fixture.now.0 - 1);
    let clerk = fixture.clerk();
    let doubted = fixture
        .store
        .take_over(clerk, silent_since, fixture.now)
        .await
        .unwrap();
    assert_eq!(doubted, 0);
    assert_eq!(fixture.get(id).await.standing.state, State::Dispatched);
    let time = fixture.writer.heartbeat(mark, fixture.now).await.unwrap();
    assert!(
        time.0.abs_diff(fixture.now.0) < 60_000,
        "the database's time"
    );
    fixture.accept(&[fixture.job()]).await;
}

pub async fn a_closed_clerk_is_not_taken_over(fixture: &mut Fixture) {
    let id = fixture.accept_dispatched(1).await[0];
    let clerk = fixture.clerk();
    fixture.writer.close().await.unwrap();
    let later = fixture.now.after(Duration::from_secs(60));
    assert_eq!(
        fixture.store.take_over(clerk, later, later).await.unwrap(),
        0
    );
    assert_eq!(fixture.get(id).await.standing.state, State::Dispatched);
    assert!(
        fixture
            .store
            .clerks()
            .await
            .unwrap()
            .iter()
            .all(|row| row.id != clerk)
    );
}

pub async fn only_the_latest_word_of_a_worker_is_kept(fixture: &mut Fixture) {
    let job = JobId::at(fixture.now);
    let row = |id: &str, seq: i64| WorkerRow {
        id: id.to_owned(),
        seq,
        seen_at: UnixMs(fixture.now.0 + seq),
        in_hand: vec![(job, 1); usize::try_from(seq).unwrap()],
        about: format!("{{\"seq\":{seq}}}"),
    };
    let store = &fixture.store;
    store
        .keep_workers(&[row("b", 2), row("a", 5), row("a", 6), row("a", 4)])
        .await
        .unwrap();
    store
        .keep_workers(&[row("a", 3), row("b", 3)])
        .await
        .unwrap();
    store.keep_workers(&[]).await.unwrap();
    let all = store.workers(None, fixture.now).await.unwrap();
    assert_eq!(all, [row("a", 6), row("b", 3)]);
    assert_eq!(
        store
            .workers(None, UnixMs(fixture.now.0 + 4))
            .await
            .unwrap(),
        [row("a", 6)]
    );
    let ids = ["b".to_owned(), "c".to_owned()];
    assert_eq!(
        store.workers(Some(&ids), UnixMs(0)).await.unwrap(),
        [row("b", 3)]
    );
}

pub async fn all_clerks_share_their_secrets(fixture: &mut Fixture) {
    let store = &fixture.store;
    let (one, two) = tokio::join!(store.secrets(), store.secrets());
    let secrets = one.unwrap();
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets, two.unwrap());
    fixture.crash().await;
    assert_eq!(fixture.store.secrets().await.unwrap(), secrets);
}

/// Many dispatches at once are doubted in parts.
pub async fn a_takeover_may_doubt_thousands(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = (0..2_500).map(|_| fixture.dispatched()).collect();
    fixture.accept(&jobs).await;
    let later = fixture
        .store
        .now()
        .await
        .unwrap()
        .after(Duration::from_secs(11));
    let doubted = fixture
        .store
        .take_over(fixture.clerk(), later, later)
        .await
        .unwrap();
    assert_eq!(doubted, 2_500);
}

/// An old job that was dispatched from the backlog just now.
async fn old_job_from_the_backlog(fixture: &mut Fixture, first_number: i64) -> JobId {
    let mut old = fixture.job();
    old.job.id = JobId::at(fixture.now.before(Duration::from_secs(3_600)));
    old.job.created_at = old.job.id.moment();
    fixture.accept(std::slice::from_ref(&old)).await;
    let order = HandOut {
        queue: old.job.queue.clone(),
        limit: 1,
        first_number,
        now: fixture.now,
        wake_at: UnixMs(fixture.now.0 + 60_000),
    };
    assert_eq!(fixture.writer.hand_out(&order).await.unwrap().len(), 1);
    old.job.id
}

async fn job_of_another_clerk(fixture: &Fixture) -> JobId {
    let mut other = fixture.store.writer("other").await.unwrap();
    let mut theirs = fixture.job();
    theirs.job.standing.state = State::Dispatched;
    theirs.job.standing.attempt = 1;
    theirs.job.standing.dispatch = Some(clerkwork_core::Dispatch {
        clerk: other.clerk(),
        number: 9,
    });
    other.accept(std::slice::from_ref(&theirs)).await.unwrap();
    theirs.job.id
}
