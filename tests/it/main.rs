//! End-to-end tests: the real binary, in one process and as a fleet.
//!
//! One file per subject; [`clerkwork_tests::claims!`] runs a claim over both kinds of system.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a claim fails where something is not as it must be"
)]

mod aside;
mod ask;
mod bad_links;
mod batch;
mod behind_nginx;
mod bombs;
mod browser;
mod cancel;
mod channels;
mod chaos;
mod client;
mod clients;
mod crash;
mod dead_letters;
mod deaf;
mod deploy;
mod dev;
mod disks;
mod documented;
mod drain;
mod gone_clients;
mod health;
mod held;
mod hold;
mod http_worker;
mod hung_store;
mod idempotency;
mod injection;
mod keys;
mod kill_matrix;
mod leaks;
mod lifecycle;
mod live;
mod locks;
mod log_lines;
mod mismatched;
mod not_started;
mod owned;
mod permissions;
mod plain_workers;
mod points;
mod poison;
mod purged;
mod queues;
mod refusals;
mod replies;
mod round_trip;
mod scarce;
mod secrets;
mod seen_once;
mod slow_clients;
mod smuggling;
mod start;
mod stranded;
mod streams;
mod tidy;
mod tls;
mod told;
mod under_faults;
mod unserved;
mod watch;
mod webhooks;
