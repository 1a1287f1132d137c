//! What a handler tells while it runs.

use std::sync::Arc;

use clerkwork_core::Level;
use clerkwork_core::live::MAX_CHUNK;
use serde::Serialize;

use crate::teller::Teller;

/// Tells the job's clients how far it has come.
///
/// Telling is cheap and never fails the attempt: what cannot be delivered is left out, and clients
/// see that something is missing.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Teller>);

/// Why a chunk was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// Larger than 64 KiB as JSON.
    #[error("a chunk is at most {MAX_CHUNK} bytes of JSON, and this one has {0}")]
    TooLarge(usize),
    /// It cannot be written as JSON.
    #[error("a chunk that cannot be written as JSON: {0}")]
    NotJson(#[from] serde_json::Error),
}

impl Progress {
    pub(crate) fn new(teller: Arc<Teller>) -> Self {
        Self(teller)
    }

    /// Says how far the attempt has come, from 0 to 1, and a word for people. Call it as often as
    /// you like: clients see at most four a second, and always the last.
    pub fn progress<'a>(
        &self,
        fraction: impl Into<Option<f64>>,
        message: impl Into<Option<&'a str>>,
    ) {
        self.0.progress(fraction.into(), message.into());
    }

    /// Adds a line to the job's log; at most 8 KiB of it are kept.
    pub fn log(&self, level: Level, message: &str) {
        self.0.log(level, message);
    }

    /// Sends a part of the output ahead, any JSON of at most 64 KiB. Waits where many wait already.
    ///
    /// # Errors
    /// It is too large or cannot be written as JSON.
    pub async fn chunk(&self, data: impl Serialize) -> Result<(), TellError> {
        let raw = serde_json::value::to_raw_value(&data)?;
        self.0.chunk(raw).await
    }
}
