//! The endpoints of queues and workers.

use axum::http::Method;
use serde_json::{Value, json};

use super::operation::{Content, Operation, reference};
use crate::http::kind::Kind;
use crate::http::kind::Kind::{
    ContentTooLarge, InvalidRequest, OutcomeUnknown, QueueMismatch, QueueNotEmpty, QueueRefused,
    RequestTimeout, UnknownQueue, UnsupportedMediaType,
};

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    vec![
        list(),
        get(),
        declare(),
        pause(),
        delete(),
        purge(),
        workers(),
    ]
}

fn operation(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(method, path, id, summary).tag("queues")
}

fn example() -> Value {
    super::objects::queue()["example"].take()
}

fn queue() -> Content {
    Content::Json("Queue", example())
}

fn list() -> Operation {
    let queues = Content::Json("Queues", json!({"queues": [example()]}));
    operation(Method::GET, "/v1/queues", "listQueues", "List queues").answer(
        200,
        "All queues.",
        &queues,
        &[],
    )
}

fn get() -> Operation {
    operation(
        Method::GET,
        "/v1/queues/{queue}",
        "getQueue",
        "Show a queue",
    )
    .answer(200, "The queue.", &queue(), &[])
    .problems(&[UnknownQueue])
}

/// What may be wrong with a change of a queue.
const OF_CHANGES: [Kind; 6] = [
    UnknownQueue,
    RequestTimeout,
    ContentTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    OutcomeUnknown,
];

fn declare() -> Operation {
    let body = json!({"application/json": {
        "schema": {"type": "object", "additionalProperties": false},
    }});
    operation(
        Method::PUT,
        "/v1/queues/{queue}",
        "declareQueue",
        "Declare a queue",
    )
    .about("Makes the queue known, so that jobs may be submitted to it. Safe to repeat.")
    .body(false, &body)
    .answer(200, "It was known.", &queue(), &[])
    .answer(201, "It is known now.", &queue(), &[])
    .problems(&OF_CHANGES)
    .problems(&[QueueMismatch, QueueRefused])
}

fn pause() -> Operation {
    let change = json!({"schema": reference("QueueChange"), "example": {"paused": true}});
    let body = json!({"application/json": change});
    operation(
        Method::PATCH,
        "/v1/queues/{queue}",
        "changeQueue",
        "Pause a queue, or let it go on",
    )
    .about("While it is paused nothing more of it is dispatched, and full workers start no more.")
    .body(true, &body)
    .answer(200, "The queue as it is now.", &queue(), &[])
    .problems(&OF_CHANGES)
}

fn delete() -> Operation {
    operation(
        Method::DELETE,
        "/v1/queues/{queue}",
        "deleteQueue",
        "Delete a queue",
    )
    .about(
        "Only where no job of it is unfinished. A queue that a worker serves comes back with its next \
         report.",
    )
    .answer(204, "It is deleted.", &Content::Nothing, &[])
    .problems(&[UnknownQueue, QueueNotEmpty, OutcomeUnknown])
}

fn purge() -> Operation {
    let path = "/v1/queues/{queue}/purge";
    let purged = Content::Json("Purged", json!({"cancelled": 12}));
    operation(
        Method::POST,
        path,
        "purgeQueue",
        "Cancel all that waits in a queue",
    )
    .answer(200, "How many jobs were cancelled.", &purged, &[])
    .problems(&[UnknownQueue, OutcomeUnknown])
}

fn workers() -> Operation {
    let example = json!({"workers": [{
        "id": "Q2xlcmt3b3Jr", "host": "render-1", "pid": 4711, "sdk": "command",
        "version": "0.1.0", "queues": ["render"], "running": 2,
        "last_seen_at": "2026-11-24T10:00:00.019Z", "draining": false,
    }]});
    operation(Method::GET, "/v1/workers", "listWorkers", "List workers")
        .about("The full workers that were lately heard from.")
        .answer(200, "The workers.", &Content::Json("Workers", example), &[])
}
