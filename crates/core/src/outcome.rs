//! How an attempt, and with it perhaps the job, ends.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The one outcome of a job; it never changes once recorded.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// There is an output.
    Succeeded {
        /// Its media type.
        media_type: String,
        /// Its bytes.
        output: Bytes,
    },
    /// There is an error.
    Failed(Failure),
    /// A client asked for it.
    Cancelled,
    /// It was not started by its start deadline.
    Expired,
}

/// Why an attempt failed: what clients see as `error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// A URI that names the kind of failure.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the worker adds, any JSON of at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The attempt that failed, from 1.
    pub attempt: u32,
}

/// Whether a failed attempt is followed by another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// If attempts are left, after the job's own delay.
    #[default]
    Policy,
    /// Never: no attempt can mend it.
    Never,
    /// If attempts are left, after this many milliseconds.
    AfterMs(u64),
}

impl Failure {
    /// The handler said so, or the command ended badly.
    pub const HANDLER_ERROR: &str = "urn:clerkwork:problem:handler-error";
    /// The attempt ran longer than `timeout_s`.
    pub const TIMED_OUT: &str = "urn:clerkwork:problem:timed-out";
    /// The worker went silent.
    pub const WORKER_LOST: &str = "urn:clerkwork:problem:worker-lost";
    /// The output is larger than the limit.
    pub const OUTPUT_TOO_LARGE: &str = "urn:clerkwork:problem:output-too-large";
    /// The output cannot be stored, or is not what it is called.
    pub const INVALID_OUTPUT: &str = "urn:clerkwork:problem:invalid-output";

    /// The most bytes of a failure's `data`.
    pub const MAX_DATA: usize = 16 * 1024;
    /// The most bytes of a failure's `detail`.
    pub const MAX_DETAIL: usize = 8 * 1024;

    /// Whether no further attempt can mend it, whatever its worker says.
    #[must_use]
    pub fn is_beyond_retry(&self) -> bool {
        matches!(
            self.kind.as_str(),
            Self::OUTPUT_TOO_LARGE | Self::INVALID_OUTPUT
        )
    }

    /// A failure of one of the kinds above, with its usual title.
    #[must_use]
    pub fn new(kind: &str, detail: impl Into<Option<String>>, attempt: u32) -> Self {
        let title = match kind {
            Self::HANDLER_ERROR => "The handler failed",
            Self::TIMED_OUT => "The attempt ran out of time",
            Self::WORKER_LOST => "The worker was lost",
            Self::OUTPUT_TOO_LARGE => "The output is too large",
            Self::INVALID_OUTPUT => "The output cannot be kept",
            _ => "The attempt failed",
        };
        Self {
            kind: kind.to_owned(),
            title: title.to_owned(),
            detail: detail.into(),
            data: None,
            attempt,
        }
    }
}
