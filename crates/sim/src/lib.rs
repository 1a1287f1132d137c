//! Whole fleets in one thread, under simulated time and seeded faults.
//!
//! Clerks and workers are the real ones, over the real in-memory broker and SQLite in memory; what lies
//! between them and the world is not: time is the runtime's paused clock, random numbers come from the
//! seed, and every call of store and broker goes through a layer that delays, fails, loses and doubles. A
//! node crashes by all its tasks being dropped. Clients call the clerks' routers, and the checker is given
//! what they saw. Two runs of one seed have the same trace, so a seed that fails can be looked at for as
//! long as it takes.

mod at_once;
mod broker;
mod client;
mod dice;
mod fleet;
mod forger;
mod hand;
mod plan;
mod post;
mod road;
mod run;
mod script;
mod time;
mod trace;
mod work;
mod world;

pub use plan::{Kind, UnknownKind};
pub use run::{Report, run};
pub use trace::Trace;
