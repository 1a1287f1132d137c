//! The objects that are sent and answered: what a client sends, and what is small.

use serde_json::{Value, json};

use super::objects;
use crate::http::jobs::batch;
use crate::http::problem::Complaints;

/// All schemas, by name.
pub(super) fn all() -> Value {
    json!({
        "NewJob": new_job(),
        "NewJobWithoutInput": new_job_without_input(),
        "NewBatch": {
            "type": "object",
            "required": ["jobs"],
            "additionalProperties": false,
            "properties": {"jobs": array(&reference("NewJob"), 1, Some(batch::MOST))},
        },
        "Job": objects::job(),
        "JobError": objects::job_error(),
        "Progress": objects::progress(),
        "Webhook": objects::webhook(),
        "Batch": list("jobs", &reference("Job")),
        "JobPage": objects::job_page(),
        "Attempts": list("attempts", &objects::attempt()),
        "Queue": objects::queue(),
        "Queues": list("queues", &reference("Queue")),
        "Workers": list("workers", &objects::worker()),
        "QueueChange": {
            "type": "object",
            "required": ["paused"],
            "additionalProperties": false,
            "properties": {"paused": {
                "type": "boolean", "description": "Whether nothing more is dispatched.",
            }},
        },
        "Purged": {
            "type": "object",
            "required": ["cancelled"],
            "properties": {"cancelled": count("How many jobs were cancelled.")},
        },
        "Alive": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string", "const": "alive"}},
        },
        "Ready": {
            "type": "object",
            "required": ["store", "broker"],
            "properties": {
                "store": {"type": "string", "description": "`up`, or what is wrong with it."},
                "store_seen_at": objects::moment("When it last answered."),
                "broker": {"type": "string", "description": "`up`, or what is wrong with it."},
                "broker_seen_at": objects::moment("When a message to ourselves last came round through it."),
                "mismatched_queues": names_of("The broker's queues that exist with other arguments."),
                "refused_queues": names_of("The queues that the broker refuses to make."),
            },
        },
        "Document": {"type": "object", "description": "An OpenAPI document."},
        "Problem": problem(),
    })
}

pub(super) use super::operation::reference;

/// Names on the broker.
fn names_of(about: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": about})
}

/// The name of a queue.
pub(super) fn queue_name() -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"})
}

/// A whole number from 0.
pub(super) fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

fn array(items: &Value, least: usize, most: Option<usize>) -> Value {
    let mut array = json!({"type": "array", "items": items, "minItems": least});
    if let Some(most) = most {
        array["maxItems"] = most.into();
    }
    array
}

/// An object with one member, an array.
fn list(name: &str, items: &Value) -> Value {
    json!({
        "type": "object",
        "required": [name],
        "properties": {name: array(items, 0, None)},
    })
}

/// A member that may be left out; what it is then is told in words, since generators take a `default` to
/// mean that it must be there.
fn number(least: u32, most: u32, default: u32, about: &str) -> Value {
    json!({
        "type": "integer", "minimum": least, "maximum": most,
        "description": format!("{about} {default} unless given."),
    })
}

fn new_job() -> Value {
    let mut job = new_job_without_input();
    job["required"] = json!(["queue", "input"]);
    job["description"] = "A job with an input of JSON.".into();
    job["properties"]["input"] = json!({
        "description": "Any JSON, nested at most 100 levels deep; it reaches the worker byte for \
            byte.",
    });
    job["example"] = json!({
        "queue": "render", "input": {"template": "invoice", "n": 42}, "tags": ["invoice:42"],
        "timeout_s": 600, "max_attempts": 3,
    });
    job
}

fn new_job_without_input() -> Value {
    let mut queue = queue_name();
    queue["description"] = "The queue that it waits in.".into();
    json!({
        "type": "object",
        "description": "A job whose input comes beside it.",
        "required": ["queue"],
        "additionalProperties": false,
        "properties": {
            "queue": queue,
            "tags": {
                "type": "array", "maxItems": 8,
                "items": {"type": "string", "pattern": "^[!-~]{1,64}$"},
                "description": "For finding the job again.",
            },
            "timeout_s": number(1, 604_800, 600, "The seconds that an attempt may run."),
            "start_within_s": {
                "type": ["integer", "null"], "minimum": 1, "maximum": 2_592_000,
                "description": "The seconds after it became due within which it must have started \
                    for the first time, or it expires.",
            },
            "delay_s": number(0, 2_592_000, 0, "The seconds after which it becomes due."),
            "max_attempts": number(1, 100, 3, "The failures that end it."),
            "retry_delay_s": number(0, 3_600, 1, "The seconds before the second attempt; doubled \
                before each further one, and spread at random."),
            "webhook": {
                "type": ["string", "null"], "format": "uri", "maxLength": 2_048,
                "description": "Where to tell the outcome: https, port 443 or 8443, no user, and \
                    no private address.",
            },
        },
        "example": {"queue": "resize", "tags": ["cat.png"]},
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a request could not be done (RFC 9457).",
        "required": ["type", "title", "status", "instance"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "Which problem it is."},
            "title": {"type": "string", "description": "The same in a few words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What it is this time."},
            "instance": {
                "type": "string", "format": "uri",
                "description": "`urn:uuid:` and the `Request-Id`.",
            },
            "errors": {
                "type": "array", "maxItems": Complaints::MOST,
                "description": "All that is wrong with the request, within reason.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {
                            "type": "string",
                            "description": "Where: a JSON pointer, or a query parameter written \
                                like one.",
                        },
                        "detail": {"type": "string"},
                    },
                },
            },
            "limit_bytes": count("The limit that was passed, with a 413."),
            "violated-policies": {
                "description": "What there was too much of, with a 429.",
                "type": "array", "items": {"type": "string"},
            },
            "job_status": objects::status(),
            "store": {"type": "string", "description": "How the store is, at `/readyz`."},
            "store_seen_at": objects::moment("When the store last answered, at `/readyz`."),
            "broker": {"type": "string", "description": "How the broker is, at `/readyz`."},
            "broker_seen_at": objects::moment("When the broker last proved itself, at `/readyz`."),
        },
    })
}
