//! Version 1 of the five messages.
//!
//! It grows only by optional headers and fields; unknown ones are ignored.

mod control;
mod job;
mod notice;
mod reply;
mod report;

pub use control::{Control, Granted, Stopped};
pub use job::Job;
pub use notice::{Notice, NoticeEvent, NoticeJob, SMALL, Told};
pub use reply::{Head, PackedReplies, Reply, decode_replies, detect, pack};
pub use report::{Does, EventKind, Held, InHand, Report, WorkerEvent, WorkerInfo};

use crate::envelope::Envelope;

/// This version; messages of it carry no `clerkwork-version`.
pub const VERSION: i64 = 1;

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is of a version that this program does not know.
    #[error("version {0} of the wire contract is not known here; this is version 1")]
    Version(i64),
    /// It lacks something or is not what it says.
    #[error("{0}")]
    Malformed(String),
}

fn check_version(envelope: &Envelope) -> Result<(), Refused> {
    match envelope.headers.int("clerkwork-version") {
        Some(version) if version > VERSION => Err(Refused::Version(version)),
        Some(_) | None => Ok(()),
    }
}

/// Reads a JSON body.
fn from_json<'a, T: serde::Deserialize<'a>>(envelope: &'a Envelope) -> Result<T, Refused> {
    check_version(envelope)?;
    serde_json::from_slice(&envelope.body).map_err(|error| Refused::Malformed(error.to_string()))
}

/// Writes a JSON body of a kind.
fn to_json<T: serde::Serialize>(kind: &str, value: &T) -> Envelope {
    // Our own types have text keys and finite numbers, so this cannot fail; an empty body is refused
    // by the reader.
    let body = serde_json::to_vec(value).unwrap_or_default();
    Envelope {
        content_type: Some("application/json".to_owned()),
        kind: Some(kind.to_owned()),
        body: body.into(),
        ..Envelope::default()
    }
}
