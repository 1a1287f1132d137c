//! The message `job`: clerk → one worker.

use bytes::Bytes;
use clerkwork_core::{Trace, UnixMs};

use super::{Refused, check_version};
use crate::envelope::Envelope;

/// A job on its way to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `<job id>:<attempt>`.
    pub message_id: String,
    /// What the reply must echo.
    pub correlation: String,
    /// Where the reply goes.
    pub reply_to: String,
    /// The input's media type.
    pub content_type: String,
    /// The input.
    pub input: Bytes,
    /// How long it may run, in milliseconds.
    pub timeout_ms: u64,
    /// When it was dispatched, database time.
    pub dispatched_at: UnixMs,
    /// It must not start after this moment.
    pub start_by: Option<UnixMs>,
    /// Start only when granted.
    pub ask: bool,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// An opaque id of the tenant, where the operator turned that on.
    pub tenant: Option<String>,
}

impl Job {
    /// The message as it travels.
    #[must_use]
    pub fn encode(self) -> Envelope {
        let mut envelope = Envelope {
            content_type: Some(self.content_type),
            correlation_id: Some(self.correlation),
            reply_to: Some(self.reply_to),
            message_id: Some(self.message_id),
            kind: Some("job".to_owned()),
            body: self.input,
            ..Envelope::default()
        };
        let headers = &mut envelope.headers;
        headers.set(
            "timeout-ms",
            i64::try_from(self.timeout_ms).unwrap_or(i64::MAX),
        );
        headers.set("dispatched-at", self.dispatched_at.0);
        if let Some(start_by) = self.start_by {
            headers.set("start-by", start_by.0);
        }
        if self.ask {
            headers.set("ask", true);
        }
        if let Some(trace) = self.trace {
            headers.set("traceparent", trace.parent);
            if let Some(state) = trace.state {
                headers.set("tracestate", state);
            }
        }
        if let Some(tenant) = self.tenant {
            headers.set("tenant", tenant);
        }
        envelope
    }

    /// Reads a message.
    ///
    /// # Errors
    /// A later version, or no correlation id or reply queue: nobody could answer it.
    pub fn decode(envelope: &Envelope) -> Result<Self, Refused> {
        check_version(envelope)?;
        let needed = |what: &Option<String>, name: &str| {
            what.clone()
                .ok_or_else(|| Refused::Malformed(format!("a job without {name}")))
        };
        let headers = &envelope.headers;
        Ok(Self {
            message_id: needed(&envelope.message_id, "message_id")?,
            correlation: needed(&envelope.correlation_id, "correlation_id")?,
            reply_to: needed(&envelope.reply_to, "reply_to")?,
            content_type: envelope
                .content_type
                .clone()
                .unwrap_or_else(|| "application/octet-stream".to_owned()),
            input: envelope.body.clone(),
            timeout_ms: headers
                .int("timeout-ms")
                .and_then(|ms| u64::try_from(ms).ok())
                .unwrap_or(600_000),
            dispatched_at: UnixMs(headers.int("dispatched-at").unwrap_or(0)),
            start_by: headers.int("start-by").map(UnixMs),
            ask: headers.flag("ask"),
            trace: headers.text("traceparent").map(|parent| Trace {
                parent: parent.to_owned(),
                state: headers.text("tracestate").map(str::to_owned),
            }),
            tenant: headers.text("tenant").map(str::to_owned),
        })
    }

    /// The job's id and the attempt, as text, from the message id.
    #[must_use]
    pub fn names(&self) -> Option<(&str, u32)> {
        let (job, attempt) = self.message_id.rsplit_once(':')?;
        Some((job, attempt.parse().ok()?))
    }
}
