//! An answer of `text/event-stream`: events on the way, then the output or an error.

use clerkwork_core::Level;
use clerkwork_core::json::{self, Members};
use clerkwork_core::live::MAX_CHUNK;
use clerkwork_core::public::JSON;
use clerkwork_core::sse::{Event, Parser};
use reqwest::Response;
use serde_json::value::RawValue;

use super::answer::over;
use super::refusal;
use super::request::broken;
use crate::call::Call;
use crate::{JobError, Output};

/// Follows the stream to its end.
pub(super) async fn follow(mut response: Response, call: &Call) -> Result<Output, JobError> {
    let mut parser = Parser::new(call.max_output);
    let mut warned = false;
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        for event in parser.feed(&piece) {
            if let Some(end) = heed(event, call, &mut warned).await {
                return end;
            }
        }
        if parser.overflowing() == Some("output") {
            return Err(over(call));
        }
    }
    Err(JobError::new(
        "the service's stream ended without an event `output` or `error`",
    ))
}

/// Does what an event says; the end, if it is one. What is unknown or ill-formed is ignored.
async fn heed(event: Event, call: &Call, warned: &mut bool) -> Option<Result<Output, JobError>> {
    match event.kind.as_str() {
        "output" if event.cut => Some(Err(over(call))),
        "output" => Some(Ok(Output::new(JSON, event.data))),
        "error" => Some(Err(refusal::of_event(&event.data))),
        "chunk" if event.cut => {
            leave_out(call, warned);
            None
        }
        _ if event.cut => None,
        "progress" => {
            if let Some(said) = Members::read(&event.data) {
                let message = said.get::<String>("message");
                let fraction = said.get::<f64>("fraction");
                call.teller.progress(fraction, message.as_deref());
            }
            None
        }
        "log" => {
            if let Some(said) = Members::read(&event.data)
                && let Some(message) = said.words("message")
            {
                let level = said.get("level").unwrap_or(Level::Info);
                call.teller.log(level, &message);
            }
            None
        }
        "chunk" => {
            // Its `index` is not read: the worker counts.
            let said = Members::read(&event.data);
            if let Some(data) = said.and_then(|said| said.get::<Box<RawValue>>("data"))
                && json::check(data.get().as_bytes(), json::MAX_DEPTH).is_ok()
                && call.teller.chunk(data).await.is_err()
            {
                leave_out(call, warned);
            }
            None
        }
        _ => None,
    }
}

/// Warns of a chunk that is too large, once per attempt: a stream may have any number of them.
fn leave_out(call: &Call, warned: &mut bool) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            job = %call.job,
            attempt = call.attempt,
            most = MAX_CHUNK,
            "the service sends chunks that are too large, which are left out; have it send smaller ones"
        );
    }
}
