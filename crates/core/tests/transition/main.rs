//! The state machine under test: claims about single steps, and properties of whole lives.

#![cfg(test)]

mod asked;
mod cancel;
mod dead_lettered;
mod deadline;
mod lives;
mod order;
mod retry;
mod support;
mod traps;
