//! Commands as workers: how they are ended, with all that they started.

use std::time::{Duration, Instant};

use clerkwork_core::{Failure, Retry, event};
use clerkwork_worker::Options;

use crate::shop::{Shop, sh};
use crate::support::{failure, job, options, text};

/// Waits until a process is gone, or is dead and waits for its parent to notice.
async fn gone(pid: &str) -> bool {
    for _ in 0..200 {
        match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
            Err(_) => return true,
            Ok(stat) if stat.contains(") Z ") => return true,
            Ok(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
    false
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group_also_where_it_ignores_the_polite_signal() {
    let script =
        "trap '' TERM; (trap '' TERM; sleep 1000) & echo $$ $! >&2; sleep 1000; sleep 1000";
    let mut shop = Shop::open(script).await;
    let began = Instant::now();
    let (failure, retry) = failure(shop.run_within(Duration::from_secs(3)).await);
    assert_eq!(
        (failure.kind.as_str(), retry),
        (Failure::TIMED_OUT, Retry::Policy)
    );
    assert!(began.elapsed() < Duration::from_secs(30));
    let events = shop.hear(1).await;
    let pids = events[0].1["message"].as_str().unwrap().to_owned();
    for pid in pids.split(' ') {
        assert!(gone(pid).await, "{pid} of {pids}");
    }
    shop.working.stop().await;
}

#[tokio::test]
async fn a_command_that_stops_politely_after_its_time_is_timed_out_all_the_same() {
    let mut shop = Shop::open("trap 'echo partial; exit 0' TERM; sleep 1000 & wait").await;
    let (failure, _) = failure(shop.run_within(Duration::from_millis(200)).await);
    assert_eq!(failure.kind, Failure::TIMED_OUT);
    shop.working.stop().await;
}

#[tokio::test]
async fn a_cancel_stops_the_command_and_is_answered_cancelled() {
    let mut shop = Shop::open("echo running >&2; sleep 1000").await;
    let submission = job(&shop.clerk.names, "");
    shop.publish(&submission).await;
    shop.hear(1).await;
    shop.clerk.cancel(&submission).await;
    assert!(matches!(
        shop.clerk.outcome(&submission).await,
        event::Reply::Cancelled
    ));
    shop.working.stop().await;
}

#[tokio::test]
async fn children_that_hold_the_pipes_open_are_ended_with_the_command() {
    let mut shop = Shop::open("sleep 1000 & echo $!").await;
    let began = Instant::now();
    let outcome = shop.run("").await;
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(gone(text(&outcome)).await);
    shop.working.stop().await;
}

#[tokio::test]
async fn children_that_left_the_group_do_not_hold_the_answer_up() {
    let mut shop = Shop::open("setsid sleep 30 & echo $!").await;
    let began = Instant::now();
    let outcome = shop.run("").await;
    assert!(began.elapsed() < Duration::from_secs(20));
    let pid = text(&outcome).trim().parse().unwrap();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    shop.working.stop().await;
}

#[tokio::test]
async fn an_output_over_the_limit_ends_the_command_and_fails_for_good() {
    let settings = Options {
        max_output: 100_000,
        ..options("x")
    };
    let mut shop = Shop::with(sh("yes"), settings).await;
    let (failure, retry) = failure(shop.run("").await);
    assert_eq!(
        (failure.kind.as_str(), retry),
        (Failure::OUTPUT_TOO_LARGE, Retry::Never)
    );
    assert_eq!(
        text(&{
            let exact = Shop::with(
                sh("head -c 100000 /dev/zero | tr '\\0' x"),
                Options {
                    max_output: 100_000,
                    ..options("x")
                },
            );
            let mut exact = exact.await;
            let outcome = exact.run("").await;
            exact.working.stop().await;
            outcome
        })
        .len(),
        100_000
    );
    shop.working.stop().await;
}

#[tokio::test]
async fn a_drain_stops_a_command_at_the_end_of_the_grace_and_gives_its_job_back() {
    let settings = Options {
        grace: Duration::from_millis(300),
        ..options("x")
    };
    let mut shop = Shop::with(sh("echo $$ >&2; sleep 1000"), settings).await;
    let submission = job(&shop.clerk.names, "");
    shop.publish(&submission).await;
    let pid = shop.hear(1).await[0].1["message"]
        .as_str()
        .unwrap()
        .to_owned();
    shop.working.shutdown.cancel();
    assert!(matches!(
        shop.clerk.outcome(&submission).await,
        event::Reply::Returned
    ));
    shop.working.ended().await;
    assert!(gone(&pid).await);
}

#[tokio::test]
async fn a_worker_that_ends_at_once_takes_its_commands_along() {
    let mut shop = Shop::open("echo $$ >&2; sleep 1000").await;
    shop.publish(&job(&shop.clerk.names, "")).await;
    let pid = shop.hear(1).await[0].1["message"]
        .as_str()
        .unwrap()
        .to_owned();
    shop.working.kill().await;
    assert!(gone(&pid).await);
}
