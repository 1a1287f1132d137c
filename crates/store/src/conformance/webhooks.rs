//! Webhooks: there if and only if their job is done, claimed once, and kept until they are sent.

use std::collections::BTreeSet;
use std::time::Duration;

use clerkwork_core::{Event, Failure, JobId, Reply, Retry, State, UnixMs, Webhook, WebhookStatus};

use super::fixture::{Fixture, next_id, queue, success};
use super::list::listed;
use crate::{DueWebhook, Filter, NewJob, WebhookChange};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CLAIM: Duration = Duration::from_secs(30);
const URL: &str = "https://example.com/hook";

fn hooked(mut new: NewJob) -> NewJob {
    new.job.spec.webhook = Some(URL.to_owned());
    new
}

/// A job with a webhook that has succeeded.
pub(super) async fn ended(fixture: &mut Fixture) -> JobId {
    let new = hooked(fixture.dispatched());
    let id = new.job.id;
    fixture.accept(&[new]).await;
    let now = fixture.now;
    fixture.recorder.succeed(&[success(id)], now).await.unwrap();
    id
}

async fn claim(fixture: &Fixture, now: UnixMs) -> Vec<DueWebhook> {
    let until = now.after(CLAIM);
    fixture.store.claim_webhooks(now, until, 100).await.unwrap()
}

async fn standing(fixture: &Fixture, id: JobId) -> Option<Webhook> {
    fixture.kept(id).await.webhook
}

pub(super) fn change(
    due: &DueWebhook,
    status: WebhookStatus,
    next: Option<UnixMs>,
) -> WebhookChange {
    WebhookChange {
        job: due.job,
        claimed: due.until,
        webhook: Webhook {
            status,
            attempts: due.webhook.attempts + 1,
            last_status: Some(503),
            next_attempt_at: next,
        },
        look_at: next.unwrap_or(due.until),
    }
}

pub async fn whatever_ends_a_job_writes_its_webhook_and_nothing_else_does(fixture: &mut Fixture) {
    let mut ids = vec![(ended(fixture).await, State::Succeeded)];
    let failed = Event::Replied {
        attempt: 1,
        reply: Reply::Failed {
            failure: Failure::new(Failure::HANDLER_ERROR, None, 1),
            retry: Retry::Never,
        },
        worker: None,
        started_at: None,
    };
    let mut late = hooked(fixture.job());
    late.job.spec.start_within_s = Some(1);
    for (new, event, state) in [
        (hooked(fixture.dispatched()), failed, State::Failed),
        (hooked(fixture.job()), Event::CancelAsked, State::Cancelled),
        (late, Event::TooLate { attempt: None }, State::Expired),
    ] {
        let id = new.job.id;
        fixture.accept(&[new]).await;
        fixture.now = fixture.now.after(Duration::from_secs(2));
        assert!(fixture.happens(id, event).await, "{state:?}");
        ids.push((id, state));
    }
    let purged = hooked(fixture.job());
    ids.push((purged.job.id, State::Cancelled));
    fixture.accept(&[purged]).await;
    let now = fixture.now;
    let purge = fixture
        .recorder
        .purge(&queue("render"), next_id(now), now, 10)
        .await;
    assert_eq!(purge.unwrap().len(), 1);

    let silent = fixture.accept_dispatched(1).await[0];
    let waiting = hooked(fixture.dispatched());
    let waits = waiting.job.id;
    fixture.accept(&[waiting]).await;
    let done = fixture.recorder.succeed(&[success(silent)], now).await;
    done.unwrap();

    for (id, state) in &ids {
        let kept = fixture.kept(*id).await;
        assert_eq!(kept.job.standing.state, *state);
        assert_eq!(kept.webhook, Some(Webhook::untried(&kept.job)), "{state:?}");
    }
    for id in [waits, silent] {
        assert_eq!(standing(fixture, id).await, None);
    }
    let filter = Filter {
        limit: 100,
        ..Filter::default()
    };
    for kept in listed(&*fixture.store, "default", &filter).await {
        let told = ids.iter().any(|(id, _)| *id == kept.job.id);
        assert_eq!(kept.webhook.is_some(), told, "{}", kept.job.id);
    }
    let due = claim(fixture, now).await;
    let due: BTreeSet<JobId> = due.iter().map(|due| due.job).collect();
    assert_eq!(due, ids.iter().map(|(id, _)| *id).collect());
}

pub async fn a_webhook_outlives_a_crash_if_and_only_if_its_job_is_done(fixture: &mut Fixture) {
    let done = ended(fixture).await;
    let open = hooked(fixture.dispatched());
    let waits = open.job.id;
    fixture.accept(&[open]).await;
    fixture.crash().await;
    assert_eq!(fixture.get(done).await.standing.state, State::Succeeded);
    let due = claim(fixture, fixture.now).await;
    assert_eq!(due.iter().map(|due| due.job).collect::<Vec<_>>(), [done]);
    assert_eq!(due[0].url, URL);
    assert_eq!(standing(fixture, waits).await, None);
}

pub async fn a_due_webhook_is_claimed_once_and_comes_free_with_its_claim(fixture: &mut Fixture) {
    let now = fixture.now;
    let early = UnixMs(now.0 - 1);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(ended(fixture).await);
    }
    assert!(claim(fixture, early).await.is_empty(), "not due yet");
    let until = now.after(CLAIM);
    let (one, other) = tokio::join!(
        fixture.store.claim_webhooks(now, until, 12),
        fixture.store.claim_webhooks(now, until, 12),
    );
    let mut claimed: Vec<JobId> = one.unwrap().iter().map(|due| due.job).collect();
    claimed.extend(other.unwrap().iter().map(|due| due.job));
    claimed.extend(claim(fixture, now).await.iter().map(|due| due.job));
    claimed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(claimed, ids, "each once");
    assert!(claim(fixture, now).await.is_empty());
    // A claim is nothing that clients see.
    let shown = standing(fixture, ids[0]).await.unwrap();
    assert_eq!(shown.next_attempt_at, Some(now));
    assert_eq!(claim(fixture, until).await.len(), 20, "nobody kept them");
}

pub async fn what_became_of_a_webhook_is_kept_only_under_its_claim(fixture: &mut Fixture) {
    let (first, second) = (ended(fixture).await, ended(fixture).await);
    let now = fixture.now;
    let due = claim(fixture, now).await;
    let later = now.after(Duration::from_secs(300));
    let changes: Vec<WebhookChange> = due
        .iter()
        .map(|due| match due.job == first {
            true => change(due, WebhookStatus::Delivered, None),
            false => change(due, WebhookStatus::Pending, Some(later)),
        })
        .collect();
    let rev = fixture.get(first).await.standing.rev;
    assert_eq!(
        fixture.store.keep_webhooks(&changes).await.unwrap(),
        [true, true]
    );
    assert_eq!(
        fixture.store.keep_webhooks(&changes).await.unwrap(),
        [false, false],
        "the claim is over"
    );
    let delivered = standing(fixture, first).await.unwrap();
    assert_eq!(delivered.status, WebhookStatus::Delivered);
    assert_eq!(delivered.next_attempt_at, None);
    assert_eq!((delivered.attempts, delivered.last_status), (1, Some(503)));
    let pending = standing(fixture, second).await.unwrap();
    assert_eq!(pending.next_attempt_at, Some(later));
    assert_eq!(
        fixture.get(first).await.standing.rev,
        rev,
        "no new revision"
    );
    assert!(claim(fixture, now.after(CLAIM)).await.is_empty());
    assert_eq!(claim(fixture, later).await.len(), 1);
}

pub async fn a_webhook_is_sent_again_on_demand_as_if_it_were_new(fixture: &mut Fixture) {
    let id = ended(fixture).await;
    let now = fixture.now;
    let due = claim(fixture, now).await.remove(0);
    let failed = change(&due, WebhookStatus::Failed, None);
    fixture.store.keep_webhooks(&[failed]).await.unwrap();
    let then = now.after(CLAIM);
    assert!(!fixture.store.redeliver("other", id, then).await.unwrap());
    assert!(claim(fixture, then).await.is_empty());
    assert!(fixture.store.redeliver("default", id, then).await.unwrap());
    let webhook = standing(fixture, id).await.unwrap();
    assert_eq!(webhook.status, WebhookStatus::Pending);
    assert_eq!((webhook.attempts, webhook.next_attempt_at), (0, Some(then)));
    assert_eq!(claim(fixture, then).await[0].job, id);

    let open = hooked(fixture.dispatched());
    let plain = fixture.accept_dispatched(1).await[0];
    fixture
        .recorder
        .succeed(&[success(plain)], now)
        .await
        .unwrap();
    for refused in [open.job.id, plain, JobId::at(UnixMs(0))] {
        assert!(
            !fixture
                .store
                .redeliver("default", refused, then)
                .await
                .unwrap()
        );
    }
    let gone = ended(fixture).await;
    fixture
        .recorder
        .delete("default", &[gone], now)
        .await
        .unwrap();
    assert!(
        !fixture
            .store
            .redeliver("default", gone, then)
            .await
            .unwrap()
    );
}

pub async fn a_job_whose_webhook_is_unsent_outlives_its_retention(fixture: &mut Fixture) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ended(fixture).await);
    }
    let accepted = fixture.now;
    let due = claim(fixture, accepted).await;
    let sent: Vec<WebhookChange> = due
        .iter()
        .filter(|due| due.job != ids[0])
        .map(|due| change(due, WebhookStatus::Delivered, None))
        .collect();
    fixture.store.keep_webhooks(&sent).await.unwrap();
    let late = accepted.after(9 * DAY);
    super::prune::prune(fixture, late, 7 * DAY, 3).await;
    assert_eq!(fixture.store.get(None, &ids, 0).await.unwrap().len(), 1);
    assert_eq!(
        standing(fixture, ids[0]).await.unwrap().status,
        WebhookStatus::Pending
    );
    let due = claim(fixture, late).await.remove(0);
    let sent = change(&due, WebhookStatus::Delivered, None);
    fixture.store.keep_webhooks(&[sent]).await.unwrap();
    super::prune::prune(fixture, late, 7 * DAY, 1).await;
    assert!(claim(fixture, late.after(DAY)).await.is_empty());
}

pub async fn a_tenants_secret_is_made_once_and_signs_for_a_day_after_its_rotation(
    fixture: &mut Fixture,
) {
    let (store, now) = (&fixture.store, fixture.now);
    let (one, other) = tokio::join!(
        store.webhook_secrets("a", now),
        store.webhook_secrets("a", now)
    );
    let first = one.unwrap();
    assert_eq!(first, other.unwrap());
    assert_eq!(first.len(), 1);
    assert_ne!(store.webhook_secrets("b", now).await.unwrap(), first);
    let both = store.rotate_webhook_secret("a", now).await.unwrap();
    assert_eq!(both.len(), 2, "the new one signs beside the old one");
    assert_ne!(both[0], first[0]);
    assert_eq!(both[1], first[0]);
    let almost = now.after(DAY - Duration::from_millis(1));
    assert_eq!(store.webhook_secrets("a", almost).await.unwrap(), both);
    let day = now.after(DAY);
    assert_eq!(store.webhook_secrets("a", day).await.unwrap(), both[..1]);
    assert_eq!(store.webhook_secrets("b", day).await.unwrap().len(), 1);
}
