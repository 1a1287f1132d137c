//! The message `notice`: clerk → every clerk, JSON.

use std::collections::BTreeMap;

use clerkwork_core::{ClerkId, JobId, JobObject, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EventKind, Refused, from_json, to_json};
use crate::envelope::Envelope;

/// Jobs whose state or progress changed; sent after the commit, and only a hint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// The clerk that sends it.
    pub clerk: ClerkId,
    /// What changed.
    #[serde(default)]
    pub jobs: Vec<NoticeJob>,
    /// Small outcomes, each for the clerk that dispatched the job.
    #[serde(default)]
    pub outcomes: BTreeMap<ClerkId, Vec<JobObject>>,
    /// Live events.
    #[serde(default)]
    pub events: Vec<NoticeEvent>,
}

/// A job that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeJob {
    /// Which one.
    pub id: JobId,
    /// Its revision now.
    pub rev: u32,
    /// Its state now.
    pub status: Status,
    /// How many live events its last attempt told before it was answered, where it told any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// What an attempt told in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The attempt.
    pub attempt: u32,
    /// The number of its last event.
    pub seq: u64,
}

/// A live event of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NoticeEvent {
    /// Which one.
    pub job: JobId,
    /// The attempt that tells it.
    pub attempt: u32,
    /// Counts the attempt's events from 1.
    pub seq: u64,
    /// What kind.
    pub event: EventKind,
    /// What it says.
    pub data: Box<RawValue>,
}

/// The largest Job object that travels in a notice, in bytes of JSON.
pub const SMALL: usize = 4 * 1024;

impl Notice {
    /// The message as it travels.
    #[must_use]
    pub fn encode(&self) -> Envelope {
        let mut envelope = to_json("notice", self);
        // Lets the sender drop its own without reading the body.
        envelope.headers.set("clerk", self.clerk.0);
        envelope
    }

    /// Whether the message was sent by this clerk; nobody reads its own.
    #[must_use]
    pub fn is_from(envelope: &Envelope, clerk: ClerkId) -> bool {
        envelope.headers.int("clerk") == Some(clerk.0)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// No JSON of this form, or a later version.
    pub fn decode(envelope: &Envelope) -> Result<Self, Refused> {
        from_json(envelope)
    }
}
