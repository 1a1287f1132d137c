//! Promise 3: after one clerk has shown an outcome, every clerk shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clerkwork_core::{JobId, JobObject};
use clerkwork_tests::{Api, Kind, heavy};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Jobs that are under way at a time.
const JOBS: usize = 24;
/// Readers of each job on each clerk.
const READERS: usize = 2;
/// Rounds of so many jobs.
const ROUNDS: usize = 8;
/// The longest that all of it may take.
const LIMIT: Duration = Duration::from_secs(180);

/// What may never change once it was shown.
#[derive(Clone, Debug, PartialEq)]
struct End {
    status: String,
    finished_at: String,
    output: Option<String>,
    rev: String,
}

/// `Err` where a busy clerk could not read.
async fn look(api: &Api, id: JobId) -> Result<Option<End>, ()> {
    let answer = api.request(Method::GET, &format!("/jobs/{id}"));
    let answer = answer.send().await.unwrap();
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Err(());
    }
    assert_eq!(answer.status(), StatusCode::OK);
    let rev = answer.headers()["etag"].to_str().unwrap().to_owned();
    let job: JobObject = answer.json().await.unwrap();
    Ok(job.done.then(|| End {
        status: job.status.to_string(),
        finished_at: format!("{:?}", job.finished_at),
        output: job.output.map(|output| output.get().to_owned()),
        rev,
    }))
}

/// Reads one job on one clerk until told to stop. A read that begins after any clerk has shown the end must show it.
async fn read(api: Api, id: JobId, shown: Arc<tokio::sync::watch::Sender<Option<End>>>) -> usize {
    let mut reads = 0;
    let mut after = 0;
    while after < 3 {
        let before = shown.borrow().clone();
        let Ok(seen) = look(&api, id).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        reads += 1;
        if before.is_some() {
            after += 1;
            assert_eq!(seen, before, "job {id} at {}", api.base());
        }
        if let Some(end) = seen {
            shown.send_if_modified(|known| {
                let is_first = known.is_none();
                if is_first {
                    *known = Some(end.clone());
                } else {
                    assert_eq!(known.as_ref(), Some(&end), "job {id} at {}", api.base());
                }
                is_first
            });
        }
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_one_clerk_has_shown_an_end_every_clerk_shows_it_under_load() {
    let _core = heavy().await;
    let system = Kind::Fleet
        .plan()
        .shell(
            "mixed",
            8,
            r#"read n; case $n in *3) exit 65;; *) echo "{\"n\":$n}";; esac"#,
        )
        .start()
        .await;
    let clerks = [system.clerk(0), system.clerk(1)];
    let done = AtomicBool::new(false);
    // A load beside, so that recorders work in batches.
    let others = AtomicUsize::new(0);
    let load = async {
        while !done.load(Ordering::Relaxed) {
            let api = &clerks[others.fetch_add(1, Ordering::Relaxed) % 2];
            join_all((0..16).map(|n| api.run("mixed", json!(n)))).await;
        }
    };
    let claim = async {
        for round in 0..ROUNDS {
            let jobs = (0..JOBS).map(|number| {
                let (submits, cancels) = (&clerks[number % 2], &clerks[(number + 1) % 2]);
                let all = clerks.clone();
                async move {
                    let job = submits.send("mixed", json!(round * JOBS + number)).await;
                    let shown = Arc::new(tokio::sync::watch::Sender::new(None));
                    let readers = all.iter().flat_map(|api| {
                        (0..READERS).map(|_| read(api.clone(), job.id, shown.clone()))
                    });
                    let readers: Vec<_> = readers.map(tokio::spawn).collect();
                    if number % 4 == 0 {
                        // Which of the cancel and the end comes first is chance.
                        cancels.cancel(job.id).await;
                    }
                    let mut reads = 0;
                    for reader in readers {
                        reads += reader.await.unwrap();
                    }
                    reads
                }
            });
            let reads: usize = join_all(jobs).await.into_iter().sum();
            assert!(reads >= JOBS * READERS * 2 * 3);
        }
        done.store(true, Ordering::Relaxed);
    };
    let both = tokio::time::timeout(LIMIT, async { tokio::join!(claim, load) });
    both.await.expect("all jobs end");
}
