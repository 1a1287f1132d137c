//! Live events: what an attempt tells while it runs, as clients see it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::UnixMs;

/// The longest message of a progress or of a line of the log, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024;
/// The largest data of a chunk, in bytes of JSON.
pub const MAX_CHUNK: usize = 64 * 1024;

/// How far an attempt has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1, if the worker knows.
    pub fraction: Option<f64>,
    /// A word for people.
    pub message: Option<String>,
    /// When the worker said so.
    pub at: UnixMs,
}

/// A line of a job's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// When.
    pub at: UnixMs,
}

/// How much a line of a log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// For whoever follows the job.
    Info,
    /// Something is odd.
    Warn,
    /// Something went wrong.
    Error,
}

/// A part of a job's output, sent ahead; the output is the truth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// Its place, from 0.
    pub index: u64,
    /// Any JSON.
    pub data: Box<RawValue>,
}

/// Live events that cannot be had any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Their attempt.
    pub attempt: u32,
    /// The number of the first.
    pub from: u64,
    /// The number of the last.
    pub to: u64,
}
