//! The message `report`: worker → one clerk, JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Refused, from_json, to_json};
use crate::envelope::Envelope;

/// A worker's liveness, everything it has in hand, and what its attempts tell.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Who reports.
    pub worker: WorkerInfo,
    /// Rises with each report of this incarnation.
    pub seq: i64,
    /// Every delivery that it has had for more than 250 ms.
    pub in_hand: Vec<InHand>,
    /// Correlation ids that it wants to be granted; repeated until answered.
    pub asking: Vec<String>,
    /// Progress, log lines and partial outputs.
    pub events: Vec<WorkerEvent>,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerInfo {
    /// Its incarnation: random per start.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The kind of worker: `rust`, `command`, …
    pub sdk: String,
    /// The version of that.
    pub version: String,
    /// Its control queue.
    pub control: String,
    /// What it does beyond a plain worker.
    pub does: Vec<Does>,
    /// Its queues, each with its concurrency.
    pub queues: BTreeMap<String, u32>,
    /// Those of its queues that it did not find.
    pub missing: Vec<String>,
    /// Those of its queues whose jobs it cannot start, each with the reason in words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cannot_start: BTreeMap<String, String>,
    /// Whether a clerk has greeted this connection of it.
    pub greeted: bool,
    /// Whether it takes no more jobs.
    pub draining: bool,
    /// Its heartbeat, in ms.
    pub every_ms: u64,
}

/// What a full worker can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Does {
    /// Asks before it starts a delivery that may have been started before.
    Ask,
    /// Acknowledges a long job early and holds it under the lease.
    Hold,
    /// Stops a job when told to.
    Cancel,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// A delivery in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHand {
    /// Its correlation id.
    pub correlation: String,
    /// When it started, ms since 1970; `None`: not yet.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// Whether the broker still guards it.
    #[serde(default)]
    pub held: Held,
}

/// Who guards a delivery in a worker's hands. In JSON: `false`, `"asked"` or `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// The broker.
    #[default]
    No,
    /// The broker, and the worker asks to acknowledge.
    Asked,
    /// The lease alone: the delivery is acknowledged.
    Yes,
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::Asked => serializer.serialize_str("asked"),
            Self::Yes => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(true) => Self::Yes,
            serde_json::Value::String(word) if word == "asked" => Self::Asked,
            _ => Self::No,
        })
    }
}

/// Something that an attempt tells while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// The attempt's correlation id.
    pub correlation: String,
    /// Counts the attempt's events from 1.
    pub seq: u64,
    /// What kind.
    pub event: EventKind,
    /// What it says, as clients will see it.
    pub data: Box<RawValue>,
}

/// The kinds of live events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// How far it has come.
    Progress,
    /// A line for people.
    Log,
    /// A part of the output.
    Chunk,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

impl Report {
    /// The message as it travels.
    #[must_use]
    pub fn encode(&self) -> Envelope {
        to_json("report", self)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// No JSON of this form, a later version, or no worker's id.
    pub fn decode(envelope: &Envelope) -> Result<Self, Refused> {
        let report: Self = from_json(envelope)?;
        if report.worker.id.is_empty() || report.worker.id.len() > 128 {
            return Err(Refused::Malformed(
                "a report without a worker's id".to_owned(),
            ));
        }
        Ok(report)
    }
}
