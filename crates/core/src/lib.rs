//! The words of Clerkwork: job, state machine, outcome, retry policy, clock.
//!
//! Everything here is pure: no I/O, no threads, no async. A job's whole life is one function,
//! [`transition()`]: what follows when an [`Event`] happens to a [`Job`]. The store keeps what it
//! decides; nothing else decides.

pub mod access;
pub mod chance;
mod change;
pub mod clock;
pub mod correlation;
pub mod event;
pub mod id;
pub mod job;
pub mod json;
pub mod live;
pub mod name;
pub mod outcome;
pub mod problem;
pub mod public;
pub mod retry;
pub mod sse;
pub mod state;
pub mod transition;
pub mod watching;
pub mod webhook;

pub use access::{ApiKey, KeyId, Role};
pub use chance::chance;
pub use clock::{Clock, ManualClock, SystemClock, UnixMs};
pub use correlation::{Correlation, Seal, Secret};
pub use event::{Before, DeadLetterCause, Event, Reply};
pub use id::{ClerkId, JobId};
pub use job::{Content, Dispatch, Job, Spec, Standing, Trace};
pub use live::{Chunk, Gap, Level, LogLine, Progress};
pub use name::{QueueName, Tag, TenantName};
pub use outcome::{Failure, Outcome, Retry};
pub use public::{JobObject, Status};
pub use state::State;
pub use transition::{AttemptEnd, Change, Moment, Verdict, transition};
pub use watching::WatchSeal;
pub use webhook::{Webhook, WebhookSecret, WebhookStatus};
