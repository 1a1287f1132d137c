//! The objects that are answered.

use clerkwork_core::{Failure, Status};
use serde_json::{Map, Value, json};

use super::schemas::{count, queue_name, reference};

/// A job as clients see it.
#[expect(clippy::too_many_lines, reason = "a line or two per member")]
pub(super) fn job() -> Value {
    let mut job = object(
        "A job. Every field is always there, and null where it does not apply.",
        [
            ("id", text("uuid", "Its id.")),
            ("queue", queue_name()),
            ("status", status()),
            ("done", flag("Whether nothing can happen to it any more.")),
            (
                "attempt",
                count("The number of the last dispatch; 0 before the first."),
            ),
            ("max_attempts", count("The failures that end it.")),
            (
                "tags",
                json!({"type": "array", "items": {"type": "string"}}),
            ),
            ("progress", or_null("Progress")),
            ("input_type", plain("The media type of its input.")),
            ("input_size", count("The size of its input, in bytes.")),
            (
                "output",
                json!({
                    "description": "Its output, where that is JSON and not left out; read any other at \
                        `/v1/jobs/{id}/output`.",
                }),
            ),
            (
                "output_type",
                nullable("string", "The media type of its output."),
            ),
            (
                "output_size",
                nullable("integer", "The size of its output, in bytes."),
            ),
            (
                "output_omitted",
                flag("Whether a JSON output was left out here for its size."),
            ),
            ("error", or_null("JobError")),
            ("created_at", moment("When it was accepted.")),
            ("due_at", moment("When it is or was due.")),
            (
                "started_at",
                moment_or_null("When an attempt last started."),
            ),
            ("finished_at", moment_or_null("When it became done.")),
            (
                "expires_at",
                moment_or_null("It stays readable at least until then."),
            ),
            (
                "cancel_requested_at",
                moment_or_null("When a client asked to stop it."),
            ),
            (
                "retry_of",
                id_or_null("The job that this one was made from by hand."),
            ),
            (
                "retried_as",
                id_or_null("The job that was made from this one by hand."),
            ),
            ("webhook", or_null("Webhook")),
            (
                "trace_id",
                nullable("string", "The trace that it belongs to."),
            ),
            (
                "note",
                nullable(
                    "string",
                    "Why nothing happens yet, for people; programs must not \
                read it.",
                ),
            ),
            (
                "watch_url",
                nullable("string", "Where a browser can follow it."),
            ),
        ],
    );
    job["example"] = example();
    job
}

/// A job that runs.
pub(super) fn example() -> Value {
    json!({
        "id": "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69", "queue": "render", "status": "running",
        "done": false, "attempt": 1, "max_attempts": 3, "tags": ["invoice:42"], "progress": null,
        "input_type": "application/json", "input_size": 32, "output": null, "output_type": null,
        "output_size": null, "output_omitted": false, "error": null,
        "created_at": "2026-11-24T10:00:00.004Z", "due_at": "2026-11-24T10:00:00.004Z",
        "started_at": "2026-11-24T10:00:00.019Z", "finished_at": null, "expires_at": null,
        "cancel_requested_at": null, "retry_of": null, "retried_as": null, "webhook": null,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "note": null, "watch_url": null,
    })
}

/// The state of a job.
pub(super) fn status() -> Value {
    json!({
        "type": "string", "enum": Status::ALL,
        "description": "A closed set for all of version 1; test `done`.",
    })
}

/// Why a job failed.
pub(super) fn job_error() -> Value {
    let types = [
        Failure::HANDLER_ERROR,
        Failure::TIMED_OUT,
        Failure::WORKER_LOST,
        Failure::OUTPUT_TOO_LARGE,
        Failure::INVALID_OUTPUT,
    ];
    let mut error = object(
        "Why the job failed: a problem without a status.",
        [
            (
                "type",
                json!({
                    "type": "string", "examples": types,
                    "description": "One of ours, or one that the worker chose.",
                }),
            ),
            ("title", plain("The kind of failure in a few words.")),
            ("attempt", count("The attempt that failed, from 1.")),
        ],
    );
    let properties = &mut error["properties"];
    properties["detail"] = plain("What happened this time.");
    properties["data"] = json!({"description": "What the worker adds, at most 16 KiB."});
    error
}

/// How far an attempt has come.
pub(super) fn progress() -> Value {
    let fraction = json!({
        "type": ["number", "null"], "minimum": 0, "maximum": 1,
        "description": "From 0 to 1, if the worker knows.",
    });
    object(
        "How far the current attempt has come.",
        [
            ("fraction", fraction),
            ("message", nullable("string", "A word for people.")),
            ("at", moment("When the worker said so.")),
        ],
    )
}

/// What a webhook has come to.
pub(super) fn webhook() -> Value {
    let states = ["waiting", "pending", "delivered", "failed", "stopped"];
    object(
        "The job's webhook.",
        [
            ("url", plain("Where it goes.")),
            ("status", json!({"type": "string", "enum": states})),
            ("attempts", count("How often it was tried.")),
            (
                "last_status",
                nullable("integer", "The last HTTP status of the receiver."),
            ),
            ("next_attempt_at", moment_or_null("The next try.")),
        ],
    )
}

/// A part of a list.
pub(super) fn job_page() -> Value {
    object(
        "Jobs, newest first.",
        [
            ("jobs", json!({"type": "array", "items": reference("Job")})),
            (
                "next_cursor",
                nullable(
                    "string",
                    "The `cursor` of the next page; null only at the \
                end.",
                ),
            ),
            (
                "searched_to",
                moment_or_null(
                    "The time at which the last job was accepted that was looked at; null at the end.",
                ),
            ),
        ],
    )
}

/// An attempt that a worker had in hand.
pub(super) fn attempt() -> Value {
    object(
        "An attempt that a worker had in hand.",
        [
            ("attempt", count("Its number.")),
            ("worker", nullable("string", "The worker.")),
            ("started_at", moment_or_null("When it started.")),
            ("finished_at", moment_or_null("When it ended.")),
            ("error", or_null("JobError")),
        ],
    )
}

/// A queue.
pub(super) fn queue() -> Value {
    let mut queue = object(
        "A queue, and what waits and runs in it.",
        [
            ("queue", queue_name()),
            ("paused", flag("Whether nothing of it is dispatched.")),
            ("queued", count("Jobs that are due and not started.")),
            ("running", count("Jobs that run.")),
            ("scheduled", count("Jobs that are not due yet.")),
            (
                "oldest_queued_s",
                nullable("integer", "For how long the oldest queued job is due."),
            ),
            ("workers", count("Full workers that serve it.")),
        ],
    );
    queue["example"] = json!({
        "queue": "render", "paused": false, "queued": 3, "running": 2, "scheduled": 0,
        "oldest_queued_s": 4, "workers": 1,
    });
    queue
}

/// A worker.
pub(super) fn worker() -> Value {
    object(
        "A worker that was lately heard from.",
        [
            ("id", plain("Its incarnation: another one at each start.")),
            ("host", plain("The machine's name.")),
            ("pid", count("The process.")),
            (
                "sdk",
                plain("What kind of worker it is: `rust`, `command`, …"),
            ),
            ("version", plain("The version of that.")),
            (
                "queues",
                json!({"type": "array", "items": {"type": "string"}}),
            ),
            ("running", count("How many attempts it runs.")),
            ("last_seen_at", moment("When it was last heard from.")),
            ("draining", flag("Whether it takes no more jobs.")),
        ],
    )
}

/// An object whose members are always there.
fn object<const N: usize>(about: &str, members: [(&str, Value); N]) -> Value {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let names: Value = names.into();
    let members = members.into_iter();
    let properties: Map<String, Value> = members
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({
        "type": "object", "description": about, "required": names, "properties": properties,
    })
}

fn plain(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn text(format: &str, about: &str) -> Value {
    json!({"type": "string", "format": format, "description": about})
}

fn flag(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

pub(super) fn moment(about: &str) -> Value {
    text("date-time", about)
}

fn nullable(kind: &str, about: &str) -> Value {
    json!({"type": [kind, "null"], "description": about})
}

fn moment_or_null(about: &str) -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": about})
}

fn id_or_null(about: &str) -> Value {
    json!({"type": ["string", "null"], "format": "uuid", "description": about})
}

fn or_null(schema: &str) -> Value {
    json!({"oneOf": [reference(schema), {"type": "null"}]})
}
