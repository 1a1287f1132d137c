//! Live events: what attempts tell while they run, kept for a while so that watchers can follow.
//!
//! Every clerk keeps the events of every job, whoever took the report, so that a watcher may go on
//! at any clerk. Watchers hold a position and no queue of their own: one that is slow costs nothing,
//! and is told what it missed.

mod check;
mod feed;
mod hub;
mod position;

pub(crate) use check::{Teller, check, one_line};
pub(crate) use feed::{LiveEvent, Next};
pub use hub::Hub;
pub(crate) use position::Position;
