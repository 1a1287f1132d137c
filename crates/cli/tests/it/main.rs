//! The real binary, as people and scripts use it.

mod client;
mod demo;
mod signals;
mod support;
mod wrong;
