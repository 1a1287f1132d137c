//! What a handler returns: anything that serde writes as JSON, or bytes with a media type.

use bytes::Bytes;
use clerkwork_core::Failure;
use serde::Serialize;

use crate::JobError;

/// The output of a job, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What a handler can return: [`Output`], or anything that serde writes as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a handler",
    note = "return a type with `#[derive(serde::Serialize)]` for JSON, or `Output` for any bytes"
)]
pub trait IntoOutput {
    /// Makes an output of it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    fn into_output(self) -> Result<Output, JobError>;
}

impl Output {
    /// An output of any media type.
    #[must_use]
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            bytes: bytes.into(),
        }
    }
}

impl IntoOutput for Output {
    fn into_output(self) -> Result<Output, JobError> {
        Ok(self)
    }
}

impl<T: Serialize> IntoOutput for T {
    fn into_output(self) -> Result<Output, JobError> {
        let bytes = serde_json::to_vec(&self).map_err(|error| {
            JobError::fatal(format!("the output cannot be written as JSON: {error}"))
                .with_type(Failure::INVALID_OUTPUT)
        })?;
        Ok(Output::new("application/json", bytes))
    }
}
