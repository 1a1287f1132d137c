//! The worker runtime and the Rust SDK: typed handlers, and a runner for any command.
