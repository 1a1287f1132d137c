//! SIGTERM: the first drains, the second ends at once.

use std::time::{Duration, Instant};

use crate::support::Dev;

#[test]
fn a_second_signal_ends_at_once_though_a_job_runs() {
    let dev = Dev::start();
    let id = dev.submit(&["linger", "1"]);
    let begin = Instant::now();
    while !dev.run(&["get", &id]).out.contains("running") {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the job does not start"
        );
    }
    let begin = Instant::now();
    assert_eq!(dev.end_impatiently(), 143);
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "it waited for the job"
    );
}

#[test]
fn a_first_signal_lets_a_running_job_end_and_its_outcome_is_kept() {
    let dev = Dev::start();
    let id = dev.submit(&["ponder", "\"thought\""]);
    let dev = dev.restart();
    let said = dev.run(&["wait", &id, "--timeout", "20s"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "\"THOUGHT\""),
        "{said:?}"
    );
}
