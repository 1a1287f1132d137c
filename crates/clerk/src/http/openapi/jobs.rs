//! The endpoints of jobs.

use axum::http::Method;
use serde_json::{Value, json};

use super::objects;
use super::operation::{Content, Operation, reference};
use super::schemas::queue_name;
use crate::http::kind::Kind;
use crate::http::kind::Kind::{
    ContentTooLarge, InvalidRequest, KeyReused, NoOutput, NoWebhook, NotDone, NotFound,
    NotRetryable, OutcomeUnknown, QueueFull, QueueMismatch, QueueRefused, RequestTimeout,
    UnknownQueue, UnsupportedMediaType, UpgradeRequired,
};

/// The headers of an answer with a job.
const JOB: [&str; 3] = ["ETag", "Preference-Applied", "Retry-After"];
/// The headers of bytes that must not run in a browser.
const BYTES: [&str; 3] = ["Content-Disposition", "Content-Security-Policy", "ETag"];
/// The problems of a submission.
const SUBMITTED: [Kind; 10] = [
    UnknownQueue,
    QueueMismatch,
    QueueRefused,
    RequestTimeout,
    ContentTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    KeyReused,
    QueueFull,
    OutcomeUnknown,
];

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    vec![
        submit(),
        list(),
        batch(),
        get(),
        delete(),
        output(),
        input(),
        attempts(),
        events(),
        ws(),
        cancel(),
        retry(),
        redeliver(),
    ]
}

fn operation(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(method, path, id, summary).tag("jobs")
}

fn job() -> Content {
    Content::Json("Job", objects::example())
}

/// A job that was submitted: done already, or not.
fn submitted(
    operation: Operation,
    done: &'static str,
    accepted: &'static str,
    headers: &[&str],
) -> Operation {
    let headers = [&JOB[..], &["Location"], headers].concat();
    operation
        .answer(200, done, &job(), &headers)
        .answer(202, accepted, &job(), &headers)
}

fn submit() -> Operation {
    let form = json!({
        "type": "object",
        "required": ["job", "input"],
        "properties": {
            "job": reference("NewJobWithoutInput"),
            "input": {"description": "Any bytes.", "type": "string", "format": "binary"},
        },
        "additionalProperties": false,
    });
    let body = json!({
        "application/json": {"schema": reference("NewJob")},
        "multipart/form-data": {
            "schema": form,
            "encoding": {
                "job": {"contentType": "application/json"},
                "input": {"contentType": "*/*"},
            },
        },
    });
    let operation = operation(Method::POST, "/v1/jobs", "submitJob", "Submit a job")
        .about(
            "The answer means that the job is committed and will be run. As JSON, the input is any \
             JSON; as a form of exactly two parts, first `job`, then `input`, it is any bytes, with \
             their own media type.",
        )
        .takes(&["Idempotency-Key", "Prefer", "traceparent", "tracestate"])
        .body(true, &body);
    submitted(
        operation,
        "The job is done already.",
        "The job is accepted.",
        &["Idempotency-Replayed"],
    )
    .problems(&SUBMITTED)
}

fn batch() -> Operation {
    let body = json!({"application/json": {
        "schema": reference("NewBatch"),
        "example": {"jobs": [{"queue": "render", "input": 1}, {"queue": "render", "input": 2}]},
    }});
    let example = json!({"jobs": [objects::example()]});
    operation(
        Method::POST,
        "/v1/jobs/batch",
        "submitBatch",
        "Submit many jobs",
    )
    .about(
        "All of them or none, in one commit. The whole body has at most 15 MiB. One \
             `Idempotency-Key` covers the whole batch. Errors say where: `/jobs/17/timeout_s`. \
             Nothing is waited for, and outputs are left out of a repeated answer.",
    )
    .takes(&["Idempotency-Key", "traceparent", "tracestate"])
    .body(true, &body)
    .answer(
        202,
        "The jobs are accepted; they are answered in their order.",
        &Content::Json("Batch", example),
        &["Idempotency-Replayed"],
    )
    .problems(&SUBMITTED)
}

fn list() -> Operation {
    let text = json!({"type": "string"});
    let moment = json!({"type": "string", "format": "date-time"});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 200});
    let tag = json!({"type": "string", "pattern": "^[!-~]{1,64}$"});
    let example = json!({
        "jobs": [objects::example()], "next_cursor": null, "searched_to": null
    });
    operation(Method::GET, "/v1/jobs", "listJobs", "List jobs")
        .about(
            "Newest first. Jobs that are made meanwhile do not shift the pages. Pages may be short or \
             empty, for one request looks at a bounded part of the history: only a `next_cursor` of \
             null tells the end. Outputs are left out.",
        )
        .query("queue", "Only of this queue.", &queue_name())
        .query("status", "Only with this status.", &objects::status())
        .query("tag", "Only with this tag.", &tag)
        .query("created_after", "Only accepted after this moment.", &moment)
        .query("created_before", "Only accepted before this moment.", &moment)
        .query("limit", "The most jobs of the page; 50 unless given.", &limit)
        .query(
            "cursor",
            "The `next_cursor` of the page before, with the same filters.",
            &text,
        )
        .answer(200, "A page of jobs.", &Content::Json("JobPage", example), &[])
}

fn get() -> Operation {
    operation(Method::GET, "/v1/jobs/{id}", "getJob", "Show a job")
        .about("At once, or with `Prefer: wait=N` when it is done or N seconds are over.")
        .watchable()
        .takes(&["Prefer", "If-None-Match"])
        .answer(200, "The job.", &job(), &JOB)
        .answer(304, "The job is as you know it.", &Content::Nothing, &JOB)
        .problems(&[NotFound])
}

fn delete() -> Operation {
    operation(Method::DELETE, "/v1/jobs/{id}", "deleteJob", "Delete a job")
        .about("Hides a job that is done, for good.")
        .answer(204, "It is hidden.", &Content::Nothing, &[])
        .problems(&[NotFound, NotDone, OutcomeUnknown])
}

fn output() -> Operation {
    let mut headers = BYTES.to_vec();
    headers.push("Preference-Applied");
    operation(
        Method::GET,
        "/v1/jobs/{id}/output",
        "getOutput",
        "Read a job's output",
    )
    .about("The bytes as the worker made them, with their own media type.")
    .watchable()
    .takes(&["Prefer", "If-None-Match"])
    .answer(200, "The output.", &Content::Bytes, &headers)
    .answer(
        304,
        "You have it.",
        &Content::Nothing,
        &["ETag", "Preference-Applied"],
    )
    .problems(&[NotFound, NotDone, NoOutput])
    .refusals_have(409, &["Preference-Applied", "Retry-After"])
}

fn input() -> Operation {
    operation(
        Method::GET,
        "/v1/jobs/{id}/input",
        "getInput",
        "Read a job's input",
    )
    .about("The bytes as they were submitted, with their own media type.")
    .takes(&["If-None-Match"])
    .answer(200, "The input.", &Content::Bytes, &BYTES)
    .answer(304, "You have it.", &Content::Nothing, &["ETag"])
    .problems(&[NotFound])
}

fn attempts() -> Operation {
    let path = "/v1/jobs/{id}/attempts";
    let example: Value = json!({"attempts": [{
        "attempt": 1, "worker": "Q2xlcmt3b3Jr", "started_at": "2026-11-24T10:00:00.019Z",
        "finished_at": null, "error": null,
    }]});
    operation(Method::GET, path, "listAttempts", "List a job's attempts")
        .about(
            "Each attempt that ended, was lost or was given back, and the current one, in order.",
        )
        .answer(
            200,
            "The attempts.",
            &Content::Json("Attempts", example),
            &[],
        )
        .problems(&[NotFound])
}

fn events() -> Operation {
    let text = json!({"type": "string"});
    operation(
        Method::GET,
        "/v1/jobs/{id}/events",
        "followJob",
        "Follow a job live",
    )
    .about(
        "Server-sent events: `state` (a Job), `progress`, `log`, `chunk` (part of an output), and \
             `gap` where live events are gone. Each has an id, with which a stream goes on at any \
             clerk. It begins with the current state and ends with the final one.",
    )
    .takes(&["Last-Event-ID"])
    .query("after", "The same as `Last-Event-ID`.", &text)
    .watchable()
    .answer(200, "The stream.", &Content::Events, &["X-Accel-Buffering"])
    .answer(
        204,
        "The job is done and you have seen its end: do not come back.",
        &Content::Nothing,
        &[],
    )
    .problems(&[NotFound])
}

fn ws() -> Operation {
    let path = "/v1/ws";
    operation(Method::GET, path, "openWebSocket", "Follow many jobs live")
        .about(
            "A WebSocket with the subprotocol `clerkwork.v1`: subscribe to jobs and get the events \
             that each one's stream has. Without `Connection: upgrade` and `Upgrade: websocket`, \
             which a client of HTTP alone does not send, the answer is a 426.",
        )
        .answer(
            101,
            "The connection is open.",
            &Content::Nothing,
            &["Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Upgrade"],
        )
        .problems(&[UpgradeRequired])
}

fn cancel() -> Operation {
    let path = "/v1/jobs/{id}/cancel";
    operation(Method::POST, path, "cancelJob", "Ask a job to stop")
        .about("A job that is done stays as it is. Safe to repeat.")
        .takes(&["Prefer"])
        .answer(200, "The job is done.", &job(), &JOB)
        .answer(
            202,
            "The job was told to stop, and has not yet.",
            &job(),
            &JOB,
        )
        .problems(&[NotFound, OutcomeUnknown])
}

fn retry() -> Operation {
    let path = "/v1/jobs/{id}/retry";
    let operation = operation(Method::POST, path, "retryJob", "Retry a job by hand")
        .about(
            "Makes a new job from one that failed, was cancelled or expired. A repeat is answered \
             with the same new job.",
        )
        .takes(&["Prefer"]);
    let done = "The new job is done already.";
    submitted(operation, done, "The new job.", &[]).problems(&[
        NotFound,
        NotDone,
        NotRetryable,
        QueueFull,
        OutcomeUnknown,
    ])
}

fn redeliver() -> Operation {
    let path = "/v1/jobs/{id}/redeliver";
    operation(
        Method::POST,
        path,
        "redeliverJob",
        "Send a job's webhook again",
    )
    .about(
        "Sends the webhook of a job that is done again now, whatever became of it before. Safe \
             to repeat.",
    )
    .answer(202, "The job, its webhook pending.", &job(), &["ETag"])
    .problems(&[NotFound, NotDone, NoWebhook, OutcomeUnknown])
}
