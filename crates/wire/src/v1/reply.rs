//! The messages `reply` and `replies`: worker → one clerk.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use clerkwork_core::event;
use clerkwork_core::json::{MAX_DEPTH, Members, check};
use clerkwork_core::{Failure, Retry, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Refused, check_version};
use crate::envelope::Envelope;

/// What a worker answers for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Everything but the bytes.
    pub head: Head,
    /// The output, or what a failure has to say.
    pub body: Bytes,
}

/// The head of a reply: AMQP properties and headers, or JSON within a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// The correlation id as received.
    pub correlation: String,
    /// The body's media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `succeeded` (default), `failed`, `cancelled`, `expired` or `returned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// `policy` (default), `never` or `after:<ms>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// The worker's incarnation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the attempt started, ms since 1970.
    #[serde(rename = "started-at", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// Why it could not be started, in words; only of what is given back for that reason.
    #[serde(rename = "not-started", skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// How long it took, ms.
    #[serde(rename = "duration-ms", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// How many live events the attempt told in all, where it told any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<i64>,
    /// The worker's span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The replies of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedReplies {
    /// Those that could be read, in order.
    pub replies: Vec<Reply>,
    /// Why what follows them could not be read.
    pub broken: Option<String>,
}

impl Reply {
    /// An answer with an outcome.
    #[must_use]
    pub fn new(correlation: &str, outcome: event::Reply) -> Self {
        let mut head = Head {
            correlation: correlation.to_owned(),
            ..Head::default()
        };
        let body = match outcome {
            event::Reply::Succeeded { media_type, output } => {
                head.content_type = Some(media_type);
                output
            }
            event::Reply::Failed { failure, retry } => {
                head.outcome = Some("failed".to_owned());
                head.content_type = Some("application/problem+json".to_owned());
                head.retry = match retry {
                    Retry::Policy => None,
                    Retry::Never => Some("never".to_owned()),
                    Retry::AfterMs(ms) => Some(format!("after:{ms}")),
                };
                serde_json::to_vec(&failure).unwrap_or_default().into()
            }
            event::Reply::Cancelled => named(&mut head, "cancelled"),
            event::Reply::Expired => named(&mut head, "expired"),
            event::Reply::Returned => named(&mut head, "returned"),
            event::Reply::NotStarted => {
                head.not_started = Some(String::new());
                named(&mut head, "returned")
            }
        };
        Self { head, body }
    }

    /// What the answer says, for the attempt that its correlation id names.
    ///
    /// A failed reply's body may be anything: problem members, plain text, or nothing.
    ///
    /// # Errors
    /// An outcome or a `retry` that version 1 does not know.
    pub fn outcome(&self, attempt: u32) -> Result<event::Reply, Refused> {
        match self.head.outcome.as_deref().unwrap_or("succeeded") {
            "succeeded" => Ok(event::Reply::Succeeded {
                media_type: match &self.head.content_type {
                    Some(media_type) => media_type.clone(),
                    None => detect(&self.body).to_owned(),
                },
                output: self.body.clone(),
            }),
            "failed" => Ok(event::Reply::Failed {
                failure: self.failure(attempt),
                retry: self.retry()?,
            }),
            "cancelled" => Ok(event::Reply::Cancelled),
            "expired" => Ok(event::Reply::Expired),
            "returned" if self.head.not_started.is_some() => Ok(event::Reply::NotStarted),
            "returned" => Ok(event::Reply::Returned),
            other => Err(Refused::Malformed(format!(
                "no outcome is called {other:?}"
            ))),
        }
    }

    /// When the attempt started, if the worker said so.
    #[must_use]
    pub fn started_at(&self) -> Option<UnixMs> {
        self.head.started_at.map(UnixMs)
    }

    /// How many live events the attempt told before; 0 where the worker does not say.
    #[must_use]
    pub fn events(&self) -> u64 {
        let told = self.head.events.unwrap_or_default();
        u64::try_from(told).unwrap_or_default()
    }

    /// The reply as a message of its own.
    #[must_use]
    pub fn encode(self) -> Envelope {
        let mut envelope = Envelope {
            content_type: self.head.content_type,
            correlation_id: Some(self.head.correlation),
            body: self.body,
            ..Envelope::default()
        };
        let texts = [
            ("outcome", self.head.outcome),
            ("retry", self.head.retry),
            ("worker", self.head.worker),
            ("not-started", self.head.not_started),
            ("traceparent", self.head.traceparent),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                envelope.headers.set(name, text);
            }
        }
        let ints = [
            ("started-at", self.head.started_at),
            ("duration-ms", self.head.duration_ms),
            ("events", self.head.events),
        ];
        for (name, int) in ints {
            if let Some(int) = int {
                envelope.headers.set(name, int);
            }
        }
        envelope
    }

    /// The bytes that it takes in a pack, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + 256
    }

    fn retry(&self) -> Result<Retry, Refused> {
        let text = self.head.retry.as_deref().unwrap_or("policy");
        match (text, text.strip_prefix("after:").map(str::parse)) {
            ("policy", _) => Ok(Retry::Policy),
            ("never", _) => Ok(Retry::Never),
            (_, Some(Ok(ms))) => Ok(Retry::AfterMs(ms)),
            _ => Err(Refused::Malformed(format!("{text:?} is no way to retry"))),
        }
    }

    fn failure(&self, attempt: u32) -> Failure {
        let said = Members::read(&self.body);
        let kind = said.as_ref().and_then(|said| said.get::<String>("type"));
        let kind = kind.filter(|kind| !kind.is_empty() && kind.len() <= 256);
        let kind = kind.as_deref();
        let mut failure = Failure::new(kind.unwrap_or(Failure::HANDLER_ERROR), None, attempt);
        let title = said.as_ref().and_then(|said| said.get::<String>("title"));
        if let Some(title) = &title {
            failure.title = at_most(title, 256).to_owned();
        }
        if let Some(said) = &said {
            let detail = said.words("detail");
            failure.detail = detail.map(|text| at_most(&text, Failure::MAX_DETAIL).to_owned());
            failure.data = said.raw("data").filter(|data| is_showable(data));
        }
        let speaks = kind.is_some() || title.is_some() || failure.data.is_some();
        let says_nothing =
            self.body.trim_ascii().is_empty() || said.is_some_and(|said| said.is_empty());
        if failure.detail.is_none() && !speaks && !says_nothing {
            let start = &self.body[..self.body.len().min(Failure::MAX_DETAIL)];
            failure.detail = Some(String::from_utf8_lossy(start).into_owned());
        }
        failure
    }
}

/// The media type of bytes whose sender named none. JSON that is nested deeper than clerks take is text.
#[must_use]
pub fn detect(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        "text/plain"
    } else if check(bytes, MAX_DEPTH).is_ok() {
        "application/json"
    } else if std::str::from_utf8(bytes).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// Packs several replies into one message; one alone stays a message of its own.
#[must_use]
pub fn pack(mut replies: Vec<Reply>) -> Envelope {
    if replies.len() == 1
        && let Some(reply) = replies.pop()
    {
        return reply.encode();
    }
    let mut body = BytesMut::with_capacity(replies.iter().map(Reply::size).sum());
    for reply in &replies {
        let head = serde_json::to_vec(&reply.head).unwrap_or_default();
        put(&mut body, &head);
        put(&mut body, &reply.body);
    }
    Envelope {
        kind: Some("replies".to_owned()),
        body: body.freeze(),
        ..Envelope::default()
    }
}

/// Reads the replies of a message, packed or single.
///
/// Of a pack that is broken in the middle, what stands before the break counts.
///
/// # Errors
/// A later version, or a single reply without a correlation id.
pub fn decode_replies(envelope: &Envelope) -> Result<PackedReplies, Refused> {
    check_version(envelope)?;
    if envelope.kind.as_deref() == Some("replies") {
        return Ok(unpack(envelope.body.clone()));
    }
    let headers = &envelope.headers;
    let text = |name: &str| headers.text(name).map(str::to_owned);
    let correlation = envelope
        .correlation_id
        .clone()
        .ok_or_else(|| Refused::Malformed("a reply without correlation_id".to_owned()))?;
    let head = Head {
        correlation,
        content_type: envelope.content_type.clone(),
        outcome: text("outcome"),
        retry: text("retry"),
        worker: text("worker"),
        started_at: headers.int("started-at"),
        not_started: text("not-started"),
        duration_ms: headers.int("duration-ms"),
        events: headers.int("events"),
        traceparent: text("traceparent"),
    };
    let reply = Reply {
        head,
        body: envelope.body.clone(),
    };
    Ok(PackedReplies {
        replies: vec![reply],
        broken: None,
    })
}

fn unpack(mut rest: Bytes) -> PackedReplies {
    let mut packed = PackedReplies::default();
    while !rest.is_empty() {
        let at = packed.replies.len();
        let (Some(head), Some(body)) = (take(&mut rest), take(&mut rest)) else {
            packed.broken = Some(format!("reply {at} of the pack is cut off"));
            break;
        };
        match serde_json::from_slice(&head) {
            Ok(head) => packed.replies.push(Reply { head, body }),
            Err(error) => {
                packed.broken = Some(format!("the head of reply {at} of the pack: {error}"));
                break;
            }
        }
    }
    packed
}

fn put(into: &mut BytesMut, part: &[u8]) {
    // A message is at most 15 MiB, so its parts' lengths fit.
    into.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
    into.put_slice(part);
}

fn take(from: &mut Bytes) -> Option<Bytes> {
    if from.len() < 4 {
        return None;
    }
    let length = usize::try_from(from.get_u32()).ok()?;
    (length <= from.len()).then(|| from.split_to(length))
}

fn named(head: &mut Head, outcome: &str) -> Bytes {
    head.outcome = Some(outcome.to_owned());
    Bytes::new()
}

/// Whether clients can be shown this: small, and JSON that any parser reads.
fn is_showable(data: &RawValue) -> bool {
    let text = data.get().as_bytes();
    text.len() <= Failure::MAX_DATA && check(text, MAX_DEPTH).is_ok()
}

fn at_most(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
