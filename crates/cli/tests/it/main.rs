//! The real binary, as people and scripts use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod client;
mod colour;
mod demo;
mod exits;
mod forms;
mod keys;
mod live;
mod signals;
mod stand_in;
mod support;
mod watch;
mod wrong;
