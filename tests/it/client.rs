//! The Rust client on real clerks: batches, waiting for an output, cancel, retry, workers, redelivery.

use std::time::Duration;

use clerkwork_client::{Batch, Client, Error, Filter, Status, Submission};
use clerkwork_tests::{Api, Kind, Language, claims, eventually};
use serde_json::json;
use tokio::time::{Instant, timeout};

claims! {
    the_client_submits_a_batch_once_however_often_it_sends_it,
    the_client_waits_for_an_output_and_no_longer_than_it_is_told,
    the_client_cancels_a_running_job_and_waits_until_it_has_ended,
    the_client_retries_a_failed_job_and_waits_for_the_new_one,
    the_client_has_a_webhook_sent_again,
}

const SOON: Duration = Duration::from_secs(60);

fn client(api: &Api) -> Client {
    Client::new(api.base()).unwrap()
}

/// Awaits something of the client, which must not hang.
async fn soon<T>(doing: impl Future<Output = T>) -> T {
    timeout(SOON, doing).await.expect("it ends in time")
}

async fn the_client_submits_a_batch_once_however_often_it_sends_it(kind: Kind) {
    let system = kind.plan().command("echo", 4, &["cat"]).start().await;
    let (one, other) = (client(&system.clerk(0)), client(&system.clerk(1)));
    let job = |number| Submission::json("echo", &number).unwrap().tag("batch");
    let batch = Batch::new((0..7).map(job));
    let first = one.submit_batch(&batch).await.unwrap();
    let again = other.submit_batch(&batch).await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    let ids =
        |jobs: &[clerkwork_client::JobObject]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(&first.jobs), ids(&again.jobs));
    for (number, job) in first.jobs.iter().enumerate() {
        let output = soon(other.output_waiting(job.id, None)).await.unwrap();
        assert_eq!(output.json::<usize>().unwrap(), number);
    }

    let wrong = Batch::new([job(8), job(9).max_attempts(0)]);
    let error = one.submit_batch(&wrong).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    let pointer = error.problem().unwrap().errors[0].pointer.as_deref();
    assert_eq!(pointer, Some("/jobs/1/max_attempts"));
    let filter = Filter {
        tag: Some("batch".parse().unwrap()),
        ..Filter::default()
    };
    let there = one.list(&filter).await.unwrap().jobs;
    assert_eq!(there.len(), 7, "nothing of the wrong batch is accepted");
}

async fn the_client_waits_for_an_output_and_no_longer_than_it_is_told(kind: Kind) {
    let plan = kind.plan();
    let go = plan.file("go");
    let script = format!(
        "until [ -e '{}' ]; do sleep 0.05; done; printf abc",
        go.display()
    );
    let plan = plan
        .shell("held", 2, &script)
        .command("fail", 1, &["false"]);
    let system = plan.start().await;
    let client = client(&system.api());
    let job = client.submit(&Submission::json("held", &1).unwrap()).await;
    let id = job.unwrap().job.id;
    let not_done = |error: &Error| error.problem().is_some_and(|it| it.is("not-done"));
    assert!(not_done(&client.output(id).await.unwrap_err()));
    let begin = Instant::now();
    let waited = soon(client.output_waiting(id, Some(Duration::from_secs(1)))).await;
    assert!(not_done(&waited.unwrap_err()));
    assert!(begin.elapsed() >= Duration::from_secs(1));

    let (output, ()) = tokio::join!(soon(client.output_waiting(id, None)), async {
        std::fs::write(&go, "").unwrap();
    });
    let output = output.unwrap();
    assert_eq!(
        (output.bytes.as_ref(), output.media_type.as_str()),
        (&b"abc"[..], "text/plain; charset=utf-8")
    );

    let failing = Submission::json("fail", &1).unwrap().max_attempts(1);
    let id = client.submit(&failing).await.unwrap().job.id;
    let error = soon(client.output_waiting(id, None)).await.unwrap_err();
    assert!(error.problem().unwrap().is("no-output"), "{error:?}");
}

async fn the_client_cancels_a_running_job_and_waits_until_it_has_ended(kind: Kind) {
    // It takes a moment to end, so that whoever does not wait sees it run.
    let script = "trap 'sleep 0.5; exit 1' TERM; echo progress 0 >&3; while :; do sleep 0.05; done";
    let system = kind.plan().shell("linger", 1, script).start().await;
    let client = client(&system.api());
    let job = client
        .submit(&Submission::json("linger", &1).unwrap())
        .await;
    let id = job.unwrap().job.id;
    eventually("the command has set its trap", SOON, async || {
        client.get(id).await.unwrap().progress
    })
    .await;
    assert!(!client.cancel(id).await.unwrap().done);
    let job = soon(client.cancel_waiting(id, None)).await.unwrap();
    assert_eq!((job.id, job.status), (id, Status::Cancelled));
    let again = client.cancel_waiting(id, Some(Duration::ZERO)).await;
    assert!(again.unwrap().done);
}

async fn the_client_retries_a_failed_job_and_waits_for_the_new_one(kind: Kind) {
    let plan = kind.plan();
    let mended = plan.file("mended");
    let system = plan
        .shell("flaky", 1, &format!("ls '{}' && cat", mended.display()))
        .start()
        .await;
    let client = client(&system.api());
    let once = Submission::json("flaky", &1).unwrap().max_attempts(1);
    let failed = soon(client.run(&once, None)).await.unwrap();
    assert_eq!(failed.status, Status::Failed);
    std::fs::write(mended, "").unwrap();
    let job = soon(client.retry_waiting(failed.id, None)).await.unwrap();
    assert_eq!(
        (job.status, job.retry_of),
        (Status::Succeeded, Some(failed.id))
    );
    // Asked again, it is the same new job.
    assert_eq!(client.retry(failed.id).await.unwrap().id, job.id);
    let error = client.retry_waiting(job.id, None).await.unwrap_err();
    assert!(error.problem().unwrap().is("not-retryable"), "{error:?}");
}

async fn the_client_has_a_webhook_sent_again(kind: Kind) {
    let plan = kind.plan().command("shout", 1, &["tr", "a-z", "A-Z"]);
    let plan = plan.clerk_setting("webhook-allow", "127.0.0.0/8");
    let system = plan.start().await;
    let client = client(&system.api());
    let secret = system.webhook_secret("show").await;
    let mut receiver = system.receiver(Language::Python, &secret).await.unwrap();
    let told = Submission::json("shout", &"a")
        .unwrap()
        .webhook(&receiver.url);
    let job = soon(client.run(&told, None)).await.unwrap();
    receiver.process.line_with("verified").await;
    client.redeliver(job.id).await.unwrap();
    let again = format!("known already job.succeeded {}", job.id);
    receiver.process.line_with(&again).await;
    let untold = soon(client.run(&Submission::json("shout", &"b").unwrap(), None)).await;
    let error = client.redeliver(untold.unwrap().id).await.unwrap_err();
    assert!(error.problem().unwrap().is("no-webhook"), "{error:?}");
}

#[tokio::test]
async fn the_client_lists_the_workers_of_a_fleet_with_what_they_serve_and_run() {
    let plan = Kind::Fleet.plan().worker_setting("heartbeat", "250ms");
    let plan = plan
        .command("echo", 1, &["cat"])
        .shell("linger", 2, "sleep 600");
    let system = plan.start().await;
    let client = client(&system.clerk(1));
    let job = system.api().send("linger", json!(1)).await;
    let pid = u32::try_from(system.workers[1].pid()).unwrap();
    let workers = eventually("both are told, and that one is busy", SOON, async || {
        let workers = client.workers().await.unwrap();
        let busy = workers
            .iter()
            .any(|worker| worker.pid == pid && worker.running == 1);
        (workers.len() == 2 && busy).then_some(workers)
    })
    .await;
    let worker = workers.iter().find(|worker| worker.pid == pid).unwrap();
    assert_eq!(worker.queues, ["linger"]);
    assert!(!worker.draining && worker.last_seen_at.is_some() && !worker.host.is_empty());
    client.cancel(job.id).await.unwrap();
}
