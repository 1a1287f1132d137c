//! The messages of a WebSocket, both ways.

use clerkwork_core::JobId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::follow::Frame;

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Said {
    /// Who it is.
    Auth { token: String },
    /// That it wants to follow a job.
    Subscribe {
        job: String,
        #[serde(default)]
        after: Option<String>,
        #[serde(default)]
        token: Option<String>,
    },
    /// That it no longer does.
    Unsubscribe { job: String },
}

/// Reads a message; `None` where it is none of ours.
pub(super) fn read(text: &str) -> Option<Said> {
    // A list would pass for the members in their order.
    let object = text.trim_start().starts_with('{');
    object.then(|| serde_json::from_str(text).ok())?
}

/// An event of a job.
pub(super) fn event(job: JobId, frame: &Frame) -> String {
    // The data is JSON that we wrote, hence text.
    let data = String::from_utf8_lossy(&frame.data);
    let (id, event) = (frame.id, frame.event);
    format!(r#"{{"type":"event","job":"{job}","id":"{id}","event":"{event}","data":{data}}}"#)
}

/// Why a job cannot be followed; `job` as the client wrote it.
pub(super) fn error(job: &str, problem: &RawValue) -> String {
    // A text cannot fail to become JSON.
    let job = serde_json::to_string(job).unwrap_or_default();
    format!(r#"{{"type":"error","job":{job},"problem":{problem}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_messages_are_read() {
        for good in [
            r#"{"type":"auth","token":"k"}"#,
            r#"{"type":"subscribe","job":"x","after":"2.1.1"}"#,
            r#"{"type":"subscribe","job":"x","token":"t","after":null}"#,
            r#" {"job":"x","type":"unsubscribe"}"#,
        ] {
            assert!(read(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "{}",
            "[]",
            r#"["auth","k"]"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","token":7}"#,
            r#"{"type":"submit","job":{}}"#,
            r#"{"type":"subscribe","job":"x","afterwards":"2.1.1"}"#,
            r#"{"type":"unsubscribe","job":"x"} {}"#,
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
