//! Tests of whose silence counts, and when.

use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);

/// A clerk that hears everything.
fn hearing() -> (Health, watch::Sender<Status>) {
    let (says, broker) = watch::channel(Status::Up);
    let health = Health::new(broker, CancellationToken::new(), &Config::default());
    health.reports(true);
    (health, says)
}

/// Lives on time for so long, as long as it hears.
async fn live(health: &Health, seconds: u32) {
    for _ in 0..seconds {
        if health.hears() {
            health.beat();
        }
        health.round();
        health.peers(true);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_acts_on_silence_before_it_was_on_time_for_the_whole_limit() {
    let (health, _says) = hearing();
    live(&health, 29).await;
    assert!(!health.beats_for(LEASE) && !health.hears_for(LEASE));
    live(&health, 2).await;
    assert!(health.beats_for(LEASE) && health.hears_for(LEASE));
}

#[tokio::test(start_paused = true)]
async fn who_was_frozen_does_not_act_before_it_notices() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    advance(LEASE).await;
    assert!(!health.beats_for(SECOND) && !health.hears_for(SECOND));
    live(&health, 29).await;
    assert!(!health.beats_for(LEASE) && !health.hears_for(LEASE));
}

#[tokio::test(start_paused = true)]
async fn whose_time_jumped_acts_on_nobodys_silence_before_it_has_listened_for_the_whole_limit() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    health.time_moved(SECOND);
    assert!(health.beats_for(LEASE) && health.hears_for(LEASE));
    health.time_moved(LEASE);
    live(&health, 29).await;
    assert!(!health.beats_for(LEASE) && !health.hears_for(LEASE));
    live(&health, 2).await;
    assert!(health.beats_for(LEASE) && health.hears_for(LEASE));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_hear_workers_acts_on_nobodys_silence() {
    type Deafness = fn(&Health, &watch::Sender<Status>);
    let deafnesses: [(Deafness, Deafness); 3] = [
        (
            |health, _| health.reports(false),
            |health, _| health.reports(true),
        ),
        (
            |_, says| _ = says.send_replace(Status::Down("gone".to_owned())),
            |_, says| _ = says.send_replace(Status::Up),
        ),
        (
            |_, says| _ = says.send_replace(Status::Blocked),
            |_, says| _ = says.send_replace(Status::Up),
        ),
    ];
    for (begins, ends) in deafnesses {
        let (health, says) = hearing();
        live(&health, 60).await;
        begins(&health, &says);
        assert!(!health.hears() && !health.hears_for(SECOND));
        live(&health, 60).await;
        assert!(!health.beats_for(SECOND), "its heartbeat stopped");
        ends(&health, &says);
        live(&health, 29).await;
        assert!(!health.hears_for(LEASE));
        live(&health, 2).await;
        assert!(health.hears_for(LEASE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_peer_keeps_workers_leases_for_one_lease_more() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    health.peers(false);
    assert!(health.beats_for(LEASE), "the peer itself may be taken over");
    assert!(!health.hears_for(SECOND));
    live(&health, 29).await;
    assert!(!health.hears_for(SECOND));
    live(&health, 2).await;
    assert!(health.hears_for(SECOND));
    health.reports_lost();
    assert!(!health.hears_for(SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_proved_again_is_down() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    assert_eq!((health.store(), health.broker()), ("up", "up"));
    for _ in 0..11 {
        health.beat();
        advance(SECOND).await;
    }
    assert_eq!((health.store(), health.broker()), ("up", "down"));
    assert_eq!(health.came_round(), Some(SECOND * 12));
    assert!(health.can_accept(), "jobs wait in the store");
    assert!(!health.hears() && !health.hears_for(SECOND));
    health.round();
    assert!(health.hears());
    for _ in 0..21 {
        health.round();
        advance(SECOND).await;
    }
    assert_eq!((health.store(), health.broker()), ("down", "up"));
    assert_eq!(health.store_answered(), Some(SECOND * 22));
    assert!(!health.can_accept());
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_with_reports_acts_on_nobodys_silence() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    health.reports_taken(true);
    live(&health, 14).await;
    health.reports_heeded(true);
    assert!(health.hears_for(LEASE), "that was not long");
    health.reports_taken(false);
    health.reports_heeded(false);
    for _ in 0..16 {
        health.reports_taken(false);
        live(&health, 1).await;
        health.reports_heeded(false);
    }
    assert!(!health.hears(), "more and more reports wait");
    health.reports_taken(true);
    health.reports_heeded(true);
    live(&health, 29).await;
    assert!(!health.hears_for(LEASE));
    live(&health, 2).await;
    assert!(health.hears_for(LEASE));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_after_which_nothing_comes_is_not_late() {
    let (health, _says) = hearing();
    live(&health, 60).await;
    health.reports_taken(false);
    health.reports_heeded(false);
    health.reports_awaited();
    live(&health, 20).await;
    assert!(health.hears_for(LEASE), "there were none to hear");
    health.reports_taken(false);
    health.reports_heeded(false);
    assert!(health.hears_for(LEASE));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_for_its_queues_is_down() {
    let (health, _says) = hearing();
    health.looked(Some(true));
    assert_eq!(health.broker(), "up");
    for _ in 0..13 {
        live(&health, 1).await;
        health.looked(Some(false));
    }
    assert_eq!(health.broker(), "down");
    health.looked(Some(true));
    assert_eq!(health.broker(), "up");
}
