//! The conformance suite over SQLite, and what only SQLite must do.

#![expect(
    clippy::expect_used,
    reason = "a test ends where its folder cannot be made"
)]

use std::sync::Mutex;

use clerkwork_store::conformance::Fixture;
use clerkwork_store::{Accepted, Error, Filter, conformance, sqlite};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jobs.db");
    let open = Box::new(move || {
        let path = path.clone();
        Box::pin(async move { sqlite::open(path).await }) as _
    });
    let end = Box::new(move || Box::pin(async move { drop(folder) }) as _);
    Fixture::new(open, end).await
}

conformance!(fixture());

#[tokio::test]
async fn data_that_the_database_refuses_is_taken_out_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let opened = path.clone();
    let open = Box::new(move || {
        let path = opened.clone();
        Box::pin(async move { sqlite::open(path).await }) as _
    });
    let mut fixture = Fixture::new(open, Box::new(|| Box::pin(async {}))).await;
    let mut conn = SqliteConnection::connect(&path.display().to_string())
        .await
        .unwrap();
    for text in [
        "create trigger no_job before insert on jobs when new.tenant = 'poison'
         begin select raise(abort, 'poison'); end",
        "create trigger no_end before update on jobs
         when new.output_type = 'poison' or new.failure like '%poison%'
         begin select raise(abort, 'poison'); end",
        "create trigger no_attempt before insert on attempts when new.failure like '%poison%'
         begin select raise(abort, 'poison'); end",
    ] {
        conn.execute(text).await.unwrap();
    }
    conformance::data_that_the_database_refuses_holds_up_no_neighbour(&mut fixture).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_file_that_is_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let store = sqlite::open(&path).await.unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::Setting(_)), "{text}");
    assert!(
        text.contains("jobs.db is in use by another process"),
        "{text}"
    );
    drop(store);
    sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    std::fs::write(
        &path,
        "this is not a database, and it is long enough to tell".repeat(20),
    )
    .unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::Setting(_)), "{text}");
    assert!(
        text.contains("jobs.db cannot be opened as a database"),
        "{text}"
    );
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    sqlite::migrate(&path).await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    conn.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (999, 'later', true, x'00', 0)",
    )
    .await
    .unwrap();
    conn.close().await.unwrap();
    let refused = sqlite::open(&path).await.unwrap_err();
    assert!(
        matches!(refused, Error::Newer { found: 999, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_store_in_memory_is_its_own() {
    let one = sqlite::memory().await.unwrap();
    let two = sqlite::memory().await.unwrap();
    let queue = conformance_queue();
    one.declare_queues(std::slice::from_ref(&queue), clerkwork_core::UnixMs(0))
        .await
        .unwrap();
    assert_eq!(one.queues().await.unwrap().len(), 1);
    assert!(two.queues().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_long_list_in_memory_lets_others_work_between_its_chunks() {
    let open = Box::new(|| Box::pin(sqlite::memory()) as _);
    let mut fixture = Fixture::new(open, Box::new(|| Box::pin(async {}))).await;
    for _ in 0..4 {
        fixture.accept_dispatched(500).await;
    }
    // It looks at all of them, in several chunks, and finds none.
    let filter = Filter {
        queues: vec![conformance::queue("nothing")],
        limit: 10,
        ..Filter::default()
    };
    let ended = Mutex::new(Vec::new());
    let store = &fixture.store;
    let list = async {
        let listed = store.list("default", &filter).await.unwrap();
        assert!(listed.jobs.is_empty());
        ended.lock().unwrap().push("list");
    };
    let other = async {
        assert!(store.keys(None).await.unwrap().is_empty());
        ended.lock().unwrap().push("other");
    };
    tokio::join!(biased; list, other);
    assert_eq!(*ended.lock().unwrap(), ["other", "list"]);
    fixture.end().await;
}

fn conformance_queue() -> clerkwork_core::QueueName {
    clerkwork_store::conformance::queue("a")
}

/// Two writers hand the transaction to each other all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_share_a_commit_are_all_answered_and_all_kept() {
    let mut fixture = fixture().await;
    let rounds: Vec<_> = (0..200).map(|_| (fixture.job(), fixture.job())).collect();
    let ids: Vec<_> = rounds
        .iter()
        .flat_map(|(one, other)| [one.job.id, other.job.id])
        .collect();
    let mut one = fixture.store.writer("one").await.unwrap();
    let mut other = fixture.store.writer("other").await.unwrap();
    let (ones, others): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let first = tokio::spawn(async move {
        for job in ones {
            assert_eq!(one.accept(&[job]).await.unwrap(), [Accepted::New]);
        }
    });
    for job in others {
        assert_eq!(other.accept(&[job]).await.unwrap(), [Accepted::New]);
    }
    first.await.unwrap();
    drop(other);
    fixture.crash().await;
    assert_eq!(
        fixture.store.get(None, &ids, 0).await.unwrap().len(),
        ids.len()
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharer_that_goes_away_holds_nobody_up_and_loses_nothing_of_others() {
    let fixture = fixture().await;
    let mut steady = fixture.store.writer("steady").await.unwrap();
    let mut fickle = fixture.store.writer("fickle").await.unwrap();
    for k in 0..300 {
        let (kept, dropped) = (fixture.job(), fixture.job());
        let id = kept.job.id;
        let going = async {
            let batch = [dropped];
            let accept = fickle.accept(&batch);
            let polls = async {
                for _ in 0..k % 30 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { biased; _ = accept => {} () = polls => {} }
        };
        let jobs = [kept];
        let staying = async {
            // What shared a transaction with the one that went away may have to be sent again.
            while steady.accept(&jobs).await.is_err() {}
        };
        let both = async { tokio::join!(going, staying) };
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, both)
            .await
            .expect("nobody is held up");
        assert_eq!(fixture.store.get(None, &[id], 0).await.unwrap().len(), 1);
    }
    drop((steady, fickle));
    fixture.end().await;
}

#[tokio::test]
async fn keys_are_made_and_revoked_beside_the_process_that_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let first = clerkwork_core::ApiKey::random();
    let key = clerkwork_store::KnownKey {
        id: first.id(),
        hash: first.hash(),
        tenant: "a".parse().unwrap(),
        role: clerkwork_core::Role::Operator,
        queues: Vec::new(),
        note: None,
        created_at: clerkwork_core::UnixMs(1),
        revoked_at: None,
    };
    // Before the first start there is no file yet.
    assert!(
        sqlite::beside(&path)
            .await
            .unwrap()
            .add_key(&key)
            .await
            .unwrap()
    );
    let server = sqlite::open(&path).await.unwrap();
    assert!(server.any_keys().await.unwrap());
    let command = sqlite::beside(&path).await.unwrap();
    let now = clerkwork_core::UnixMs(2);
    assert!(command.revoke_key(first.id(), now).await.unwrap());
    assert_eq!(server.keys(None).await.unwrap()[0].revoked_at, Some(now));
}

#[tokio::test]
async fn a_file_that_was_moved_away_takes_nothing_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (place, aside) = (folder.path().join("data"), folder.path().join("aside"));
    std::fs::create_dir(&place).unwrap();
    let path = place.join("jobs.db");
    let open = Box::new(move || {
        let path = path.clone();
        Box::pin(async move { sqlite::open(path).await }) as _
    });
    let end = Box::new(move || Box::pin(async move { drop(folder) }) as _);
    let mut fixture = Fixture::new(open, end).await;
    let mark = clerkwork_store::Watermark {
        number: 0,
        at: fixture.now,
    };
    let now = fixture.now;
    fixture.writer.heartbeat(mark, now).await.unwrap();
    std::fs::rename(&place, &aside).unwrap();
    for taken in 0..2 {
        let lost = fixture.writer.heartbeat(mark, now).await.unwrap_err();
        assert!(matches!(lost, Error::Unavailable(_)), "{lost}");
        let jobs = [fixture.job()];
        for refused in [
            fixture.writer.accept(&jobs).await.map(drop),
            fixture
                .store
                .get(None, &[jobs[0].job.id], 0)
                .await
                .map(drop),
            fixture.store.writer("next").await.map(drop),
            fixture.store.now().await.map(drop),
        ] {
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        }
        if taken == 0 {
            // Somebody else begins anew in its place.
            std::fs::create_dir(&place).unwrap();
            sqlite::migrate(place.join("jobs.db")).await.unwrap();
        }
    }
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    fixture.writer.heartbeat(mark, now).await.unwrap();
    fixture.accept(&[fixture.job()]).await;
    fixture.end().await;
}
