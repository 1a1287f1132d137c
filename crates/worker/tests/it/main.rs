//! The worker from outside: a clerk made of the broker and the wire contract alone, and workers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where it cannot go on"
)]

mod answers;
mod ask;
mod control;
mod drain;
mod exec;
mod exec_ends;
mod fickle;
mod hold;
mod http;
mod http_stream;
mod not_started;
mod path;
mod proxy;
mod rabbit;
mod refused;
mod replies;
mod reports;
mod service;
mod settings;
mod shop;
mod support;
