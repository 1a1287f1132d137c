//! When a webhook is sent, how often, and by whom.

use std::time::Duration;

use axum::response::Response;
use clerkwork_core::{UnixMs, WebhookSecret, WebhookStatus};

use super::office::{DAY, Office, until};
use super::receiver::{Deaf, Got, Receiver, said};

/// Whether one of its signatures is this secret's.
fn is_signed(got: &Got, secret: &WebhookSecret) -> bool {
    let seconds = got.header("webhook-timestamp").parse().unwrap();
    let signature = secret.sign(got.header("webhook-id"), seconds, &got.body);
    let mut all = got.header("webhook-signature").split(' ');
    all.any(|one| one == signature)
}

#[tokio::test]
async fn a_webhook_is_tried_ten_times_at_growing_pauses_and_has_then_failed() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(500).await;
    let begin = office.now();
    let job = office.ended(&receiver.url()).await;
    let mut last = begin;
    for attempts in 1..=9 {
        let webhook = office.tried(job, attempts).await;
        assert_eq!(webhook.status, WebhookStatus::Pending);
        assert_eq!(webhook.last_status, Some(500));
        let next = webhook.next_attempt_at.unwrap();
        let pause = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
            [usize::try_from(attempts).unwrap() - 1];
        let (least, most) = (pause * 900, pause * 1_100);
        let waited = next.since(last).as_millis();
        assert!((least..=most).contains(&waited), "{attempts}: {waited} ms");
        office.pass_to(UnixMs(next.0 - 1));
        office.pass_to(next);
        last = next;
    }
    let failed = office.tried(job, 10).await;
    assert_eq!(failed.status, WebhookStatus::Failed);
    assert_eq!(failed.next_attempt_at, None);
    office.pass_to(last.after(30 * DAY));

    let got = receiver.got();
    assert_eq!(got.len(), 10);
    let id = format!("msg_{}", job.to_string().replace('-', ""));
    let secrets = office
        .store
        .webhook_secrets("default", begin)
        .await
        .unwrap();
    let mut spans = std::collections::HashSet::new();
    for got in &got {
        assert_eq!(got.header("webhook-id"), id);
        assert!(is_signed(got, &secrets[0]));
        assert_eq!(got.header("content-type"), "application/json");
        let agent = concat!("Clerkwork/", env!("CARGO_PKG_VERSION"));
        assert_eq!(got.header("user-agent"), agent);
        let trace = got.header("traceparent");
        assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        spans.insert(trace.to_owned());
        assert_eq!(got.json()["type"], "job.succeeded");
        assert_eq!(got.json()["data"]["id"], job.to_string());
        assert_eq!(got.json()["data"]["webhook"]["url"], receiver.url());
    }
    assert_eq!(spans.len(), 10, "each attempt is a span of its own");
    let seconds = |got: &Got| got.header("webhook-timestamp").parse::<i64>().unwrap();
    assert!(
        got.windows(2)
            .all(|pair| seconds(&pair[0]) < seconds(&pair[1]))
    );

    let now = office.now();
    assert!(office.store.redeliver("default", job, now).await.unwrap());
    office.waker.wake();
    assert_eq!(office.tried(job, 1).await.status, WebhookStatus::Pending);
    assert_eq!(receiver.got()[10].header("webhook-id"), id);
}

#[tokio::test]
async fn a_receiver_may_refuse_for_a_while_or_for_good() {
    let mut office = Office::open().await;
    let busy = Receiver::open(|number| match number {
        0 => Response::builder()
            .status(503)
            .header("retry-after", "3600")
            .body(axum::body::Body::empty())
            .unwrap(),
        _ => said(204),
    })
    .await;
    let gone = Receiver::saying(410).await;
    let (waits, stops) = (
        office.ended(&busy.url()).await,
        office.ended(&gone.url()).await,
    );
    let stopped = office.tried(stops, 1).await;
    assert_eq!(stopped.status, WebhookStatus::Stopped);
    assert_eq!(stopped.last_status, Some(410));
    let next = office.tried(waits, 1).await.next_attempt_at.unwrap();
    assert_eq!(next, office.now().after(Duration::from_secs(3_600)));
    office.pass_to(next);
    assert_eq!(office.delivered(waits).await.last_status, Some(204));
    office.pass_to(next.after(30 * DAY));
    assert_eq!((busy.got().len(), gone.got().len()), (2, 1));
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_new_one_for_a_day() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(200).await;
    let now = office.now();
    let old = office.store.webhook_secrets("default", now).await.unwrap();
    let both = office
        .store
        .rotate_webhook_secret("default", now)
        .await
        .unwrap();
    let job = office.ended(&receiver.url()).await;
    office.delivered(job).await;
    let got = receiver.got().remove(0);
    assert_eq!(got.header("webhook-signature").split(' ').count(), 2);
    assert!(is_signed(&got, &old[0]) && is_signed(&got, &both[0]));

    office.crash().await;
    office.clock.advance(DAY);
    office.start();
    let job = office.ended(&receiver.url()).await;
    office.delivered(job).await;
    let got = receiver.got().remove(1);
    assert!(is_signed(&got, &both[0]) && !is_signed(&got, &old[0]));
}

#[tokio::test]
async fn a_webhook_brings_an_output_of_at_most_64_kib_along_and_leaves_a_larger_one_out() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(200).await;
    for (size, omitted) in [(64 * 1024, false), (64 * 1024 + 1, true)] {
        let output = format!("\"{}\"", "x".repeat(size - 2));
        let job = office.ended_with(&receiver.url(), output.into()).await;
        office.delivered(job).await;
        let told = receiver.got().pop().unwrap().json()["data"].take();
        assert_eq!(told["output"].is_null(), omitted);
        assert_eq!(told["output_omitted"], omitted);
        assert_eq!(told["output_size"], size);
    }
}

#[tokio::test]
async fn a_job_that_was_deleted_is_told_to_nobody() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(500).await;
    let job = office.ended(&receiver.url()).await;
    let next = office.tried(job, 1).await.next_attempt_at.unwrap();
    office.delete(job).await;
    office.pass_to(next);
    let other = office.ended(&receiver.url()).await;
    office.tried(other, 1).await;
    office.drain().await;
    assert_eq!(receiver.got().len(), 2);
    let far = office.now().after(30 * DAY);
    let due = office.store.claim_webhooks(far, far, 10).await.unwrap();
    assert!(due.iter().all(|due| due.job != job), "{due:?}");
}

#[tokio::test]
async fn a_webhook_that_was_being_sent_at_a_crash_is_sent_by_the_next_clerk() {
    let mut office = Office::open().await;
    let deaf = Deaf::open().await;
    let job = office.ended(&deaf.url("127.0.0.1")).await;
    deaf.holds(1).await;
    office.crash().await;
    assert_eq!(office.webhook(job).await.attempts, 0);
    let address = deaf.close();
    let receiver = Receiver::at(address, |_| said(200)).await;
    office.clock.advance(Duration::from_secs(30));
    office.start();
    assert_eq!(office.delivered(job).await.attempts, 1);
    let id = format!("msg_{}", job.to_string().replace('-', ""));
    assert_eq!(receiver.got()[0].header("webhook-id"), id);
}

#[tokio::test]
async fn a_slow_host_gets_eight_at_once_and_delays_no_other() {
    let mut office = Office::open().await;
    let deaf = Deaf::open().await;
    let quick = Receiver::saying(200).await;
    for name in ["slow.test", "quick.test"] {
        office.book.write(name, &[&[quick.ip()]]);
    }
    for _ in 0..300 {
        office.ended(&deaf.url("slow.test")).await;
    }
    deaf.holds(8).await;
    let job = office.ended(&quick.url_of("quick.test")).await;
    office.delivered(job).await;
    assert_eq!(deaf.held(), 8);
}

#[tokio::test]
async fn a_drain_ends_what_was_begun_and_leaves_the_rest_to_others() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(200).await;
    let job = office.ended(&receiver.url()).await;
    office.delivered(job).await;
    let deaf = Deaf::open().await;
    for _ in 0..20 {
        office.ended(&deaf.url("127.0.0.1")).await;
    }
    deaf.holds(8).await;
    office.stop();
    let now = office.now();
    until(async || {
        let free = office.store.claim_webhooks(now, now, 100).await.unwrap();
        (free.len() == 12).then_some(())
    })
    .await;
    deaf.close();
    office.drain().await;
    let far = now.after(DAY);
    let pending = office.store.claim_webhooks(far, far, 100).await.unwrap();
    let tried = pending.iter().filter(|due| due.webhook.attempts == 1);
    assert_eq!(
        tried.count(),
        8,
        "what became of those that were begun is kept"
    );
}
