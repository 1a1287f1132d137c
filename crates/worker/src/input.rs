//! What a handler gets: JSON as a type of its own, or the bytes as they are.

use bytes::Bytes;
use clerkwork_core::problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::JobError;

/// The input of a job, byte for byte.
///
/// As a handler's first argument it takes any input; any type that serde can read takes JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What can be a handler's first argument: [`Input`], or anything that serde reads from JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a handler",
    note = "take a type with `#[derive(serde::Deserialize)]` for JSON, or `Input` for any bytes"
)]
pub trait FromInput: Sized {
    /// Makes it of a job's input.
    ///
    /// # Errors
    /// The input does not fit; no further attempt could mend that.
    fn from_input(input: &Input) -> Result<Self, JobError>;
}

/// What can be handed to [`crate::testing::run`] as an input: [`Input`], or anything that serde
/// writes as JSON.
pub trait IntoInput {
    /// Makes an input of it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    fn into_input(self) -> Result<Input, JobError>;
}

impl Input {
    /// An input of JSON.
    #[must_use]
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: "application/json".to_owned(),
            bytes: bytes.into(),
        }
    }

    /// Whether its media type says that it is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        let essence = self
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let essence = essence.to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    }
}

impl FromInput for Input {
    fn from_input(input: &Input) -> Result<Self, JobError> {
        Ok(input.clone())
    }
}

impl<T: DeserializeOwned> FromInput for T {
    fn from_input(input: &Input) -> Result<Self, JobError> {
        if !input.is_json() {
            return Err(unfit(format!(
                "this queue takes application/json, and the input is {:?}",
                input.content_type
            )));
        }
        serde_json::from_slice(&input.bytes)
            .map_err(|error| unfit(format!("the input does not fit this queue: {error}")))
    }
}

impl IntoInput for Input {
    fn into_input(self) -> Result<Input, JobError> {
        Ok(self)
    }
}

impl<T: Serialize> IntoInput for T {
    fn into_input(self) -> Result<Input, JobError> {
        Ok(Input::json(serde_json::to_vec(&self)?))
    }
}

fn unfit(detail: String) -> JobError {
    JobError::fatal(detail)
        .with_type(problem::urn("invalid-input"))
        .with_title("The input does not fit")
}
