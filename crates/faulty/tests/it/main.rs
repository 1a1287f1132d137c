//! The conformance suites of stores and brokers once more, for a caller that tries again while calls go
//! wrong; and what holds for one that is spared nothing.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

#[expect(dead_code, reason = "the tests of the broker use all of it")]
#[path = "../../../broker/tests/amqp/support.rs"]
mod amqp;
mod brokers;
mod postgres;
#[expect(dead_code, reason = "the tests of the store use all of it")]
#[path = "../../../store/tests/support/mod.rs"]
mod schemas;
mod sqlite;
mod stores;
