//! Parameters and headers that several endpoints share.

use serde_json::{Value, json};

/// A key as it is, or as a structured field's string, in which a backslash is written twice.
const IDEMPOTENCY_KEY: &str = r#"^(?:[!#-~]{1,255}|"(?:[!#-\[\]-~]|\\\\){1,255}")$"#;

/// The parameters, by name.
pub(super) fn parameters() -> Value {
    json!({
        "id": {
            "name": "id", "in": "path", "required": true, "description": "The job's id.",
            "schema": {"type": "string", "format": "uuid"},
            "example": "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69",
        },
        "queue": {
            "name": "queue", "in": "path", "required": true, "description": "The queue's name.",
            "schema": super::schemas::queue_name(),
            "example": "render",
        },
        "Prefer": {
            "name": "Prefer", "in": "header",
            "description": "`wait=N` holds the request until the job is done, or for N seconds; also \
                as `respond-async, wait=N`. More than the service allows (45 unless set) is lowered \
                to that, and a preference that cannot be read is ignored. A wait that ends is no \
                error: it is answered with the job as it is. Give your client a time-out of N + 15 s.",
            "schema": {"type": "string"},
            "example": "wait=2",
        },
        "If-None-Match": {
            "name": "If-None-Match", "in": "header",
            "description": "The `ETag` that you have: if it is still right the answer is a 304. With \
                `Prefer: wait=N` it is held until anything changes.",
            "schema": {"type": "string"},
            "example": "W/\"3\"",
        },
        "Last-Event-ID": {
            "name": "Last-Event-ID", "in": "header",
            "description": "The id of the last event that you saw: the stream goes on after it. What \
                is no id of ours counts as none.",
            "schema": {"type": "string"},
            "example": "2.1.7",
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key", "in": "header",
            "description": "Makes the request safe to repeat: whoever sends it again with the same \
                key and body gets the same job. 1 to 255 visible ASCII characters but double quotes, \
                bare or in double quotes; kept for at least 24 hours.",
            "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY},
        },
        "Last-Event-ID": {
            "name": "Last-Event-ID", "in": "header",
            "description": "The id of the last event that you have seen; browsers send it by \
                themselves. One that cannot be read counts as none.",
            "schema": {"type": "string"},
            "example": "2.1.1",
        },
        "traceparent": {
            "name": "traceparent", "in": "header",
            "description": "The W3C trace context that the job continues.",
            "schema": {"type": "string"},
            "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
        "tracestate": {
            "name": "tracestate", "in": "header",
            "description": "Goes with `traceparent`.",
            "schema": {"type": "string"},
        },
    })
}

/// The headers of answers, by name.
pub(super) fn headers() -> Value {
    let text = |about: &str| json!({"description": about, "schema": {"type": "string"}});
    let always = |about: &str, value: &str| json!({"description": about, "schema": {"type": "string", "const": value}});
    json!({
        "Cache-Control": always("Nothing here may be kept by caches.", "no-store"),
        "Request-Id": {
            "description": "Names this request; a problem's `instance` is `urn:uuid:` and this.",
            "schema": {"type": "string", "format": "uuid"},
        },
        "RateLimit": text("What is left of a rate, where one is set."),
        "RateLimit-Policy": text("The rate, where one is set."),
        "ETag": text("The job's revision, or a fixed tag for bytes that never change."),
        "Location": text("The path of the job."),
        "Retry-After": {
            "description": "The seconds after which to ask again.",
            "schema": {"type": "integer", "minimum": 0},
        },
        "Preference-Applied": text("The `wait` that was used, where one was asked for."),
        "Idempotency-Replayed": always("There where the job had been accepted before.", "true"),
        "Sec-WebSocket-Accept": text("What RFC 6455 makes of the client's key."),
        "Sec-WebSocket-Protocol": always("There where the client offered it.", "clerkwork.v1"),
        "Sec-WebSocket-Version": always("The version that is spoken here.", "13"),
        "Upgrade": always("What is spoken here.", "websocket"),
        "Content-Disposition": always("A browser saves these bytes, and does not show them.", "attachment"),
        "Content-Security-Policy": text("Keeps what is served here from reaching anything else."),
        "WWW-Authenticate": always("That a key is sent as `Authorization: Bearer cwk_…`.", "Bearer"),
        "X-Accel-Buffering": always("nginx passes the stream on at once.", "no"),
        "X-Content-Type-Options": always("The media type is what it says.", "nosniff"),
    })
}
