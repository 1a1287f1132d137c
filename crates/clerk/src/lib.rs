//! The public server: accepts requests, dispatches jobs, records replies, answers clients.
//!
//! [`Clerk`] is the whole of it. Its parts meet in `parts.rs` alone; each is a task that owns its
//! state and a cheap handle to it. Only the intake, the recorder and the hand-out of the backlog
//! write a job's state, and what they write is what `clerkwork_core::transition` decided.

mod bucket;
mod bytes_in_flight;
mod canary;
mod cancels;
mod clerk;
mod config;
mod consuming;
mod counters;
mod dead_letters;
mod desk;
mod dispatcher;
mod error;
mod events;
#[cfg(test)]
mod fixture;
mod fleet;
mod health;
pub mod http;
mod intake;
mod job_log;
mod keys;
mod ledger;
mod limits;
mod origin;
mod outstanding;
mod overtaken;
mod parts;
mod places;
mod pruner;
mod queues;
mod recorder;
mod replies;
mod reports;
mod room;
mod scheduler;
mod settler;
mod supervise;
mod waiters;
mod webhooks;
mod window;
mod writer;

pub use clerk::{Clerk, StartError};
pub use config::Config;
pub use desk::Desk;
pub use error::Refusal;
pub use events::Hub;
pub use health::Health;
pub use intake::{Answer, BatchAnswer, Intake, Submission};
pub use keys::Keys;
pub use limits::Limits;
pub use origin::{InvalidOrigin, Origin};
pub use queues::{DeclareError, Queues};
pub use recorder::RecorderHandle;
pub use waiters::{Shown, Waiters, Watch};
pub use webhooks::{BadUrl, Guard, Waker};
