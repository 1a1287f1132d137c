//! The processor time that processes have used.

use std::fs;
use std::time::Duration;

/// The processor time of these processes so far, threads and all.
pub(crate) fn used(pids: &[i32]) -> Duration {
    pids.iter().map(|pid| of(*pid)).sum()
}

fn of(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may contain spaces.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // The kernel reports 100 ticks a second to programs on every Linux there is.
    Duration::from_millis(ticks * 10)
}
