//! What a client asks for, read and checked: all that is wrong is told at once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use clerkwork_core::json::{self, NotJson};
use clerkwork_core::public::JSON;
use clerkwork_core::{QueueName, Spec, Tag, Trace};
use clerkwork_store::Key;
use serde_json::value::RawValue;

use crate::Submission;
use crate::http::jobs::{key, multipart};
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::{body, object};
use crate::{Desk, Guard};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// Where.
    pub(crate) queue: QueueName,
    /// How.
    pub(crate) spec: Spec,
    /// When.
    pub(crate) delay: Duration,
    /// With which input.
    pub(crate) input: Bytes,
    /// Of which media type.
    pub(crate) input_type: String,
}

impl Order {
    /// What is asked for, as the intake takes it.
    pub(crate) fn submission(self, tenant: Arc<str>, key: Option<Key>, watch: bool) -> Submission {
        Submission {
            tenant,
            queue: self.queue,
            spec: self.spec,
            delay: self.delay,
            input: self.input,
            input_type: self.input_type,
            key,
            retry_of: None,
            watch,
        }
    }
}

/// What is accepted here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// The most bytes of an input.
    pub(crate) most: usize,
    /// Where webhooks may go.
    pub(crate) guard: &'a Guard,
}

impl<'a> Terms<'a> {
    /// Those of a clerk.
    pub(crate) fn of(desk: &'a Desk) -> Self {
        Self {
            most: desk.config.max_input,
            guard: &desk.guard,
        }
    }
}

/// The two forms that a submission comes in.
#[derive(Debug)]
pub(crate) enum Form {
    /// One JSON object.
    Json,
    /// Two parts with this boundary.
    Multipart(String),
}

/// How deep an input may be nested.
const DEEPEST: usize = 100;
const MOST_TAGS: usize = 8;
/// No eight tags are longer than this, however they are escaped.
const LONGEST_TAGS: usize = 16 * 1024;
const DAY_S: u32 = 24 * 3600;

const NAMES: [&str; 9] = [
    "queue",
    "input",
    "tags",
    "webhook",
    "timeout_s",
    "start_within_s",
    "delay_s",
    "max_attempts",
    "retry_delay_s",
];

impl Form {
    /// The form that the headers announce.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match body::media_type(headers)?.as_deref() {
            Some(JSON) => Ok(Self::Json),
            Some("multipart/form-data") => multipart::boundary(headers).map(Self::Multipart),
            _ => Err(Problem::because(
                Kind::UnsupportedMediaType,
                "a job is submitted as application/json, or as multipart/form-data with the parts \
                 job and input: say which in Content-Type",
            )),
        }
    }

    /// Reads the body: what is asked for, and the hash of all of it as it was sent.
    pub(crate) async fn read(
        &self,
        body: Bytes,
        terms: Terms<'_>,
        trace: Option<Trace>,
    ) -> Result<(Order, [u8; 32]), Problem> {
        match self {
            Self::Json => json_order(&body, terms, trace),
            Self::Multipart(boundary) => {
                let parts = multipart::read(body, boundary, terms.most).await?;
                bytes_order(parts, terms, trace)
            }
        }
    }
}

fn json_order(
    body: &Bytes,
    terms: Terms<'_>,
    trace: Option<Trace>,
) -> Result<(Order, [u8; 32]), Problem> {
    let mut complaints = Complaints::default();
    let values = object::members(body, NAMES, &mut complaints)?;
    // The input lies within the body, so it is shared rather than copied.
    let share = |input: &str| body.slice_ref(input.as_bytes());
    let order = with_json(values, terms, trace, share, &mut complaints)?;
    let fingerprint = key::fingerprint(body, JSON, &[]);
    complete(order, complaints).map(|order| (order, fingerprint))
}

/// What one job of a batch asks for. Its input is copied, or the whole batch would be kept in memory
/// for as long as one of its jobs is.
pub(crate) fn batched_order(
    job: &RawValue,
    terms: Terms<'_>,
    trace: Option<Trace>,
    complaints: &mut Complaints,
) -> Result<Option<Order>, Problem> {
    let Some(values) = object::members_of(job.get(), NAMES, complaints)? else {
        return Ok(None);
    };
    let copy = |input: &str| Bytes::copy_from_slice(input.as_bytes());
    with_json(values, terms, trace, copy, complaints)
}

fn with_json(
    values: [Option<&RawValue>; NAMES.len()],
    terms: Terms<'_>,
    trace: Option<Trace>,
    bytes: impl FnOnce(&str) -> Bytes,
    complaints: &mut Complaints,
) -> Result<Option<Order>, Problem> {
    let input = values[1].map_or("", RawValue::get);
    if input.len() > terms.most {
        return Err(Problem::too_large("the input", terms.most).at(complaints.place("input")));
    }
    if input.is_empty() {
        complaints.add("input", "is required");
    } else if let Err(error) = json::check(input.as_bytes(), DEEPEST) {
        complaints.add(
            "input",
            match error {
                NotJson::TooDeep(most) => format!("must not be nested deeper than {most} levels"),
                other => other.to_string(),
            },
        );
    }
    let order = order(values, terms, complaints, trace, |queue, spec, delay| {
        Order {
            queue,
            spec,
            delay,
            input: bytes(input),
            input_type: JSON.to_owned(),
        }
    });
    Ok(order)
}

fn bytes_order(
    parts: multipart::Parts,
    terms: Terms<'_>,
    trace: Option<Trace>,
) -> Result<(Order, [u8; 32]), Problem> {
    let mut complaints = Complaints::default();
    let values = object::members(&parts.job, NAMES, &mut complaints)?;
    if values[1].is_some() {
        complaints.add("input", "must not be in the part job: it is the part input");
    }
    let fingerprint = key::fingerprint(&parts.job, &parts.input_type, &parts.input);
    let order = order(
        values,
        terms,
        &mut complaints,
        trace,
        |queue, spec, delay| Order {
            queue,
            spec,
            delay,
            input: parts.input,
            input_type: parts.input_type,
        },
    );
    complete(order, complaints).map(|order| (order, fingerprint))
}

/// The order, unless there is something to complain of.
fn complete(order: Option<Order>, complaints: Complaints) -> Result<Order, Problem> {
    complaints.result(Kind::InvalidRequest)?;
    // Without an order there was a complaint.
    order.ok_or_else(|| Problem::new(Kind::Internal))
}

/// `None`, and a complaint, where something is missing; other complaints may come with it.
fn order(
    values: [Option<&RawValue>; NAMES.len()],
    terms: Terms<'_>,
    complaints: &mut Complaints,
    trace: Option<Trace>,
    make: impl FnOnce(QueueName, Spec, Duration) -> Order,
) -> Option<Order> {
    let [
        queue,
        _,
        tags,
        webhook,
        timeout,
        start_within,
        delay,
        attempts,
        retry_delay,
    ] = values;
    let queue = queue_of(queue, complaints);
    let tags = tags_of(tags, complaints);
    let webhook = webhook_of(webhook, terms.guard, complaints);
    let mut number =
        |value: Option<&RawValue>, name, bounds| object::whole(value?, name, bounds, complaints);
    let timeout_s = number(timeout, "timeout_s", 1..=7 * DAY_S);
    let start_within = start_within.filter(|value| !is_null(Some(value)));
    let start_within_s = number(start_within, "start_within_s", 1..=30 * DAY_S);
    let delay_s = number(delay, "delay_s", 0..=30 * DAY_S);
    let max_attempts = number(attempts, "max_attempts", 1..=100);
    let retry_delay_s = number(retry_delay, "retry_delay_s", 0..=3600);
    let spec = Spec {
        tags,
        timeout_s: timeout_s.unwrap_or(600),
        start_within_s,
        max_attempts: max_attempts.unwrap_or(3),
        retry_delay_s: retry_delay_s.unwrap_or(1),
        webhook,
        trace,
    };
    let delay = Duration::from_secs(u64::from(delay_s.unwrap_or(0)));
    Some(make(queue?, spec, delay))
}

fn queue_of(value: Option<&RawValue>, complaints: &mut Complaints) -> Option<QueueName> {
    let Some(value) = value else {
        complaints.add("queue", "is required");
        return None;
    };
    let name = serde_json::from_str::<String>(value.get());
    let Ok(name) = name else {
        complaints.add("queue", "must be a string");
        return None;
    };
    match name.parse() {
        Ok(queue) => Some(queue),
        Err(error) => {
            let error: clerkwork_core::name::InvalidName = error;
            complaints.add("queue", error.to_string());
            None
        }
    }
}

/// Where to tell the outcome; its name is not looked up here.
fn webhook_of(
    value: Option<&RawValue>,
    guard: &Guard,
    complaints: &mut Complaints,
) -> Option<String> {
    let value = value.filter(|value| !is_null(Some(value)))?;
    let Ok(url) = serde_json::from_str::<String>(value.get()) else {
        complaints.add("webhook", "must be a string");
        return None;
    };
    if let Err(error) = guard.check(&url) {
        complaints.add("webhook", error.to_string());
    }
    Some(url)
}

/// The tags, each once.
fn tags_of(value: Option<&RawValue>, complaints: &mut Complaints) -> Vec<Tag> {
    let Some(value) = value else {
        return Vec::new();
    };
    if value.get().len() > LONGEST_TAGS {
        complaints.add("tags", "must be at most 8 tags of at most 64 characters");
        return Vec::new();
    }
    let Ok(texts) = serde_json::from_str::<Vec<String>>(value.get()) else {
        complaints.add("tags", "must be an array of strings");
        return Vec::new();
    };
    if texts.len() > MOST_TAGS {
        complaints.add("tags", "must be at most 8 tags");
    }
    let mut tags: Vec<Tag> = Vec::new();
    for (at, text) in texts.into_iter().take(MOST_TAGS).enumerate() {
        match Tag::try_from(text) {
            Ok(tag) if tags.contains(&tag) => {}
            Ok(tag) => tags.push(tag),
            Err(error) => complaints.add_at("tags", at, error.to_string()),
        }
    }
    tags
}

fn is_null(value: Option<&RawValue>) -> bool {
    value.is_none_or(|value| value.get() == "null")
}
