//! The worker from outside: a clerk made of the broker and the wire contract alone, and workers.

mod exec;
mod path;
mod support;
