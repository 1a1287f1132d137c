//! The rest of the futures that are dropped half-way, at every poll.

use std::time::{Duration, Instant};

use clerkwork_core::{
    ApiKey, ClerkId, Event, JobId, Role, State, TenantName, UnixMs, WebhookStatus,
};

use super::crash::{all_done, cut};
use super::fixture::{Fixture, queue, success};
use super::webhooks::{change, ended};
use crate::{Key, KnownKey, Watermark};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the server may take to notice that a session is gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// Polls within which all of these are done, but for pruning.
const POLLS: usize = 200;

pub async fn dropped_webhook_calls_leave_nothing_half_done(fixture: &mut Fixture) {
    let id = ended(fixture).await;
    for polls in 0..POLLS {
        if all_done(&cut_webhooks(fixture, id, polls).await) {
            return;
        }
    }
    panic!("{POLLS} polls are enough for everything");
}

/// Drops what is done with webhooks. Each round begins where the webhook of one job was just written.
async fn cut_webhooks(fixture: &mut Fixture, id: JobId, polls: usize) -> Vec<bool> {
    let store = fixture.store.clone();
    let (now, soon) = (fixture.now, fixture.now.after(Duration::from_secs(1)));
    let mut done = Vec::new();
    done.push(
        cut(store.claim_webhooks(now, soon, 9), polls)
            .await
            .is_some(),
    );
    let later = soon.after(Duration::from_secs(1));
    // The server may still be at what was dropped, and has locked it.
    let end = Instant::now() + PATIENCE;
    let due = loop {
        let due = store.claim_webhooks(soon, later, 9).await.unwrap();
        if !due.is_empty() {
            break due;
        }
        assert!(
            Instant::now() < end,
            "what nobody was given comes free again"
        );
        tokio::task::yield_now().await;
    };
    assert_eq!(due.len(), 1);

    let kept = [change(&due[0], WebhookStatus::Delivered, None)];
    done.push(cut(store.keep_webhooks(&kept), polls).await.is_some());
    let webhook = fixture.kept(id).await.webhook.unwrap();
    let whole = match webhook.status {
        WebhookStatus::Pending => due[0].webhook,
        _ => kept[0].webhook,
    };
    assert_eq!(webhook, whole);

    let again = store.redeliver("default", id, now);
    done.push(cut(again, polls).await.is_some());
    assert!(store.redeliver("default", id, now).await.unwrap());
    let webhook = fixture.kept(id).await.webhook.unwrap();
    let fresh = (webhook.status, webhook.attempts);
    assert_eq!(fresh, (WebhookStatus::Pending, 0));

    let tenant = format!("tenant-{polls}");
    done.push(
        cut(store.webhook_secrets(&tenant, now), polls)
            .await
            .is_some(),
    );
    let first = store.webhook_secrets(&tenant, now).await.unwrap();
    assert_eq!(first.len(), 1, "it is made once");
    let rotated = cut(store.rotate_webhook_secret(&tenant, now), polls).await;
    done.push(rotated.is_some());
    let secrets = store.webhook_secrets(&tenant, now).await.unwrap();
    assert!((1..=2).contains(&secrets.len()), "{}", secrets.len());
    assert!(rotated.is_none() || secrets.len() == 2);
    let rotated = store.rotate_webhook_secret(&tenant, now).await.unwrap();
    assert_eq!(rotated.len(), secrets.len() + 1);
    done
}

pub async fn dropped_calls_about_keys_and_queues_leave_nothing_half_done(fixture: &mut Fixture) {
    for polls in 0..POLLS {
        let mut done = cut_keys(fixture, polls).await;
        done.extend(cut_queues(fixture, polls).await);
        if all_done(&done) {
            return;
        }
    }
    panic!("{POLLS} polls are enough for everything");
}

async fn cut_keys(fixture: &Fixture, polls: usize) -> Vec<bool> {
    let store = &fixture.store;
    let tenant: TenantName = "default".parse().unwrap();
    let key = KnownKey::new(&ApiKey::random(), tenant, Role::Client, fixture.now);
    let ids = [key.id];
    let mut done = vec![
        cut(store.keys(Some(&ids)), polls).await.is_some(),
        cut(store.any_keys(), polls).await.is_some(),
        cut(store.add_key(&key), polls).await.is_some(),
    ];
    let known = store.keys(Some(&ids)).await.unwrap();
    assert!(known.iter().all(|known| *known == key) && known.len() <= 1);
    assert_eq!(store.add_key(&key).await.unwrap(), known.is_empty());
    let revoked = cut(store.revoke_key(key.id, fixture.now), polls).await;
    done.push(revoked.is_some());
    let known = store.keys(Some(&ids)).await.unwrap();
    let at = known[0].revoked_at;
    assert!(at == Some(fixture.now) || (at.is_none() && revoked.is_none()));
    let later = fixture.now.after(DAY);
    assert!(store.revoke_key(key.id, later).await.unwrap());
    let known = store.keys(Some(&ids)).await.unwrap();
    assert_eq!(known[0].revoked_at, Some(at.unwrap_or(later)));
    done
}

async fn cut_queues(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    let store = fixture.store.clone();
    let (now, name) = (fixture.now, queue("cut"));
    store
        .declare_queues(std::slice::from_ref(&name), now)
        .await
        .unwrap();
    let paused = cut(store.pause_queue(&name, true), polls).await;
    assert!(store.pause_queue(&name, false).await.unwrap());
    let queues = store.queues().await.unwrap();
    assert!(
        queues
            .iter()
            .any(|known| known.name == name && !known.paused)
    );
    let key = Key {
        key: [7; 32],
        fingerprint: [7; 32],
    };
    vec![
        paused.is_some(),
        cut(store.queues(), polls).await.is_some(),
        cut(store.unfinished(now), polls).await.is_some(),
        cut(store.claimed(&key, now), polls).await.is_some(),
        cut(store.now(), polls).await.is_some(),
        cut(store.cancels(0, 10), polls).await.is_some(),
        cut(store.workers(None, now), polls).await.is_some(),
        cut(store.clerks(), polls).await.is_some(),
    ]
}

pub async fn dropped_looks_at_what_is_out_leave_nothing_half_done(fixture: &mut Fixture) {
    for polls in 0..POLLS {
        if all_done(&cut_out(fixture, polls).await) {
            return;
        }
    }
    panic!("{POLLS} polls are enough for everything");
}

async fn cut_out(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    let id = fixture.accept_dispatched(1).await[0];
    let store = fixture.store.clone();
    let (from, to) = (
        JobId::first_of(fixture.now),
        JobId::first_of(UnixMs(fixture.now.0 + 1)),
    );
    let wake_at = fixture.now.after(DAY);
    let watched = cut(store.watch(from, to, wake_at), polls).await;
    let found = fixture.get(id).await.standing.wake_at;
    assert!(found == Some(wake_at) || (found.is_none() && watched.is_none()));
    let left = store.watch(from, to, wake_at).await.unwrap();
    assert_eq!(left, u64::from(found.is_none()), "all of them or none");
    let render = queue("render");
    let done = vec![
        watched.is_some(),
        cut(store.out(None, 10), polls).await.is_some(),
        cut(store.dispatched(&render, from, None, 10), polls)
            .await
            .is_some(),
        cut(store.attempts(id), polls).await.is_some(),
        cut(store.output(None, id), polls).await.is_some(),
        cut(store.recorder(), polls).await.is_some(),
        cut(fixture.recorder.load(&[id]), polls).await.is_some(),
    ];
    fixture.recorder = store.recorder().await.unwrap();
    assert!(fixture.happens(id, Event::CancelAsked).await);
    assert!(store.out(None, 10).await.unwrap().is_empty());
    done
}

pub async fn dropped_heartbeats_and_goodbyes_leave_nothing_half_done(fixture: &mut Fixture) {
    for polls in 0..POLLS {
        let mut done = cut_life(fixture, polls).await;
        done.push(cut_forgetting(fixture, polls).await);
        if all_done(&done) {
            return;
        }
    }
    panic!("{POLLS} polls are enough for everything");
}

async fn cut_life(fixture: &mut Fixture, polls: usize) -> Vec<bool> {
    let row = async |fixture: &Fixture, clerk: ClerkId| {
        let rows = fixture.store.clerks().await.unwrap();
        rows.into_iter().find(|row| row.id == clerk)
    };
    let clerk = fixture.clerk();
    let mark = Watermark {
        number: 77,
        at: UnixMs(fixture.now.0 + 7),
    };
    let beaten = cut(fixture.writer.heartbeat(mark, mark.at), polls).await;
    let found = row(fixture, clerk).await.unwrap();
    let whole = (found.watermark, found.seen_at) == (mark, mark.at);
    let untouched = found.watermark.number == 0 && found.seen_at != mark.at;
    assert!(whole || (untouched && beaten.is_none()), "{found:?}");

    fixture.writer = fixture.store.writer("clerk").await.unwrap();
    let closing = fixture.clerk();
    let closed = cut(fixture.writer.close(), polls).await;
    let found = row(fixture, closing).await;
    assert!(closed.is_none() || found.is_none(), "{found:?}");
    // Whoever is not closed can be taken over, which waits for nobody.
    let now = fixture.now.after(DAY);
    let doubted = fixture.store.take_over(closing, now, now).await.unwrap();
    assert_eq!(doubted, 0);
    fixture.writer = fixture.store.writer("clerk").await.unwrap();
    vec![beaten.is_some(), closed.is_some()]
}

async fn cut_forgetting(fixture: &mut Fixture, polls: usize) -> bool {
    let ids = fixture.accept_dispatched(2).await;
    for id in &ids {
        assert!(fixture.happens(*id, Event::CancelAsked).await);
    }
    let cancels: Vec<_> = ids.iter().map(|id| (*id, 1)).collect();
    let forgotten = cut(fixture.recorder.forget_cancels(&cancels), polls).await;
    let kept = async |fixture: &Fixture| {
        let all = fixture.store.cancels(0, 10_000).await.unwrap();
        all.iter()
            .filter(|cancel| ids.contains(&cancel.job))
            .count()
    };
    let left = kept(fixture).await;
    assert!(left == 0 || (left == 2 && forgotten.is_none()), "{left}");
    fixture.recorder = fixture.store.recorder().await.unwrap();
    fixture.recorder.forget_cancels(&cancels).await.unwrap();
    assert_eq!(kept(fixture).await, 0);
    forgotten.is_some()
}

pub async fn a_dropped_pruning_leaves_whole_days(fixture: &mut Fixture) {
    let mut step = 0;
    for round in 0..POLLS {
        let ids = fixture.accept_dispatched(2).await;
        let batch: Vec<_> = ids.iter().copied().map(success).collect();
        let now = fixture.now;
        fixture.recorder.succeed(&batch, now).await.unwrap();
        // Each round takes its steps in days of its own.
        let later = now.after(9 * DAY);
        let pruned = cut(fixture.store.prune(later, 7 * DAY), step).await;
        let found = fixture.store.get(None, &ids, u64::MAX).await.unwrap();
        assert!(found.is_empty() || found.len() == 2, "a day goes whole");
        for kept in &found {
            assert_eq!(kept.job.standing.state, State::Succeeded);
            assert!(kept.output.is_some(), "a job is there with its output");
        }
        if pruned.is_some() {
            super::prune::prune(fixture, later, 7 * DAY, found.len() as u64).await;
            fixture.now = later;
            let id = fixture.accept_dispatched(1).await[0];
            fixture.get(id).await;
            return;
        }
        fixture.now = later;
        step += 1 + round;
    }
    panic!("{POLLS} rounds are enough for a pruning");
}
