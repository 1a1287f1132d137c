//! The HTTP client of Clerkwork, for Rust programs and for the command line.
//!
//! ```no_run
//! # async fn example() -> Result<(), clerkwork_client::Error> {
//! use clerkwork_client::{Client, Submission};
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let submission = Submission::json("render", &serde_json::json!({"n": 42}))?.tag("invoice:42");
//! let job = client.run(&submission, None).await?;
//! println!("{} {:?}", job.status, job.output);
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::events`] follows a job live, through lost connections and on any clerk.
//!
//! [`Client::wait`] waits for an end, [`Client::run`], [`Client::cancel_waiting`],
//! [`Client::retry_waiting`] and [`Client::output_waiting`] for what they ask for: the server holds
//! the request, so that the answer comes at once, and however long it takes.
//!
//! Every request is safe to repeat, so all of them are repeated while the server is away, for as
//! long as [`Client::patience`] says: a submission always carries an idempotency key.

mod batch;
mod client;
mod content;
mod error;
mod events;
mod jobs;
mod queues;
mod request;
mod submission;
mod wait;
mod workers;

pub use batch::{Batch, SubmittedBatch};
pub use clerkwork_core::{
    Chunk, Failure, Gap, JobId, JobObject, Level, LogLine, Progress, QueueName, Status, Tag, UnixMs,
};
pub use client::Client;
pub use content::Content;
pub use error::{Error, FieldError, Problem};
pub use events::{Event, Events, Told};
pub use jobs::{Attempt, Filter, Page};
pub use queues::Queue;
pub use submission::{Submission, Submitted};
pub use workers::Worker;
