//! The message `control`: clerk → every full worker, or one; JSON.

use serde::{Deserialize, Serialize};

use super::{Refused, from_json, to_json};
use crate::envelope::Envelope;

/// What a clerk tells workers. Every part is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// Attempts to stop, or not to start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancel: Vec<Stopped>,
    /// Queues of which nothing more is to be started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pause: Vec<String>,
    /// Queues that go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resume: Vec<String>,
    /// To one worker: the clerk that greets it, the answer to a report that says `greeted: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello: Option<String>,
    /// With `hello`: what is cancelled on the worker's queues, in parts of 1,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<Stopped>,
    /// With `hello`: which of its queues are paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<String>,
    /// With `hello`: whether this is the last part.
    #[serde(skip_serializing_if = "is_false")]
    pub complete: bool,
    /// To one worker: deliveries that may be started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<Granted>,
    /// To one worker: message ids of deliveries to acknowledge unrun, or to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// To one worker: message ids of jobs that a clerk has recorded as held: acknowledge them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// Take no more jobs, finish what is in hand, stay.
    #[serde(skip_serializing_if = "is_false")]
    pub quiet: bool,
    /// As SIGTERM.
    #[serde(skip_serializing_if = "is_false")]
    pub stop: bool,
}

/// An attempt that was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stopped {
    /// The job's id.
    pub job: String,
    /// The attempt.
    pub attempt: u32,
}

/// A delivery that may be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its message id.
    pub message: String,
    /// The correlation id to answer with.
    pub correlation: String,
    /// The attempt that this start is, if not the delivery's: from now on it goes by this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

impl Control {
    /// The message as it travels.
    #[must_use]
    pub fn encode(&self) -> Envelope {
        to_json("control", self)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// No JSON of this form, or a later version.
    pub fn decode(envelope: &Envelope) -> Result<Self, Refused> {
        from_json(envelope)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}
