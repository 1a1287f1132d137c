//! The real binary, as people and scripts use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod client;
mod demo;
mod keys;
mod signals;
mod support;
mod watch;
mod wrong;
