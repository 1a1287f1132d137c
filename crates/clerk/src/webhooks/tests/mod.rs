//! The part as a whole: a store, a clock that the test sets, and receivers on this machine.

mod office;
mod receiver;
mod safety;
mod schedule;
