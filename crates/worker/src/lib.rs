//! The worker runtime and the Rust SDK: typed handlers, and runners for any command and any HTTP
//! service.
//!
//! A handler is an async function: its input first, then up to six extractors.
//!
//! ```
//! use clerkwork_worker::{Attempt, JobError, Progress, State, Worker};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone)] struct Fonts;
//! #[derive(Deserialize)]
//! struct Render { pages: u32 }
//! #[derive(Serialize)]
//! struct Rendered { bytes: u64 }
//!
//! async fn render(input: Render, State(_fonts): State<Fonts>, progress: Progress) -> Result<Rendered, JobError> {
//!     if input.pages == 0 {
//!         return Err(JobError::fatal("nothing to draw")); // never retried; any std error is
//!     }
//!     progress.progress(0.5, "halfway");
//!     Ok(Rendered { bytes: 1024 * u64::from(input.pages) })
//! }
//!
//! let worker = Worker::new(Fonts).queue("render", render).concurrency(16);
//! // worker.run(broker, shutdown).await?
//! # drop(worker);
//! ```
//!
//! [`testing::run`] runs one handler without a broker. [`Worker::command`] makes any executable a
//! worker, [`Worker::service`] any HTTP service.

mod call;
mod error;
pub mod exec;
mod extract;
mod handler;
pub mod http;
mod input;
mod job_error;
mod options;
mod output;
mod progress;
mod registry;
mod runtime;
mod signal;
mod teller;
pub mod testing;
mod worker;

pub use call::Context;
pub use clerkwork_core::JobId;
pub use clerkwork_core::Level;
pub use error::Error;
pub use exec::Command;
pub use extract::{Attempt, Cancelled, Deadline, FromContext, FromState, Queue, State, Trace};
pub use handler::Handler;
pub use http::Service;
pub use input::{FromInput, Input, IntoInput};
pub use job_error::JobError;
pub use options::Options;
pub use output::{IntoOutput, Output};
pub use progress::{Progress, TellError};
pub use runtime::Health;
pub use worker::Worker;
