//! One attempt: what follows from the status of the answer.

use std::sync::Arc;

use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::{Service, answer, refusal, request, stream};
use crate::call::Call;
use crate::registry::RunError;
use crate::{JobError, Output};

/// Runs one attempt.
pub(super) async fn run(service: &Service, call: &Call) -> Result<Output, RunError> {
    let response = request::send(service, call).await?;
    if !response.status().is_success() {
        return Err(refusal::read(response, call.teller.now()).await.into());
    }
    if let Some(coding) = coding(&response) {
        return Err(JobError::fatal(format!(
            "the service answered with the content coding {coding}, which was not asked for"
        ))
        .into());
    }
    let read = if is_stream(&response) {
        stream::follow(response, call).await
    } else {
        answer::read(response, call).await
    };
    Ok(read?)
}

fn is_stream(response: &Response) -> bool {
    content_type(response).is_some_and(|given| essence(&given) == "text/event-stream")
}

/// The content coding of an answer, where it has one: its bytes would not be what they are called.
fn coding(response: &Response) -> Option<String> {
    let coding = response.headers().get(CONTENT_ENCODING)?.to_str().ok()?;
    let coding = coding.trim().to_ascii_lowercase();
    (!coding.is_empty() && coding != "identity").then_some(coding)
}

/// The media type that an answer gives, as it is.
pub(super) fn content_type(response: &Response) -> Option<Arc<str>> {
    let given = response.headers().get(CONTENT_TYPE)?.to_str().ok()?.trim();
    (!given.is_empty()).then(|| given.into())
}

/// A media type without its parameters.
pub(super) fn essence(given: &str) -> String {
    let essence = given.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
