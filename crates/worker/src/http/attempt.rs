//! One attempt: its request, and what follows from the status of the answer.

use std::sync::Arc;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response};

use super::{Service, answer, reason, refusal, stream};
use crate::call::Call;
use crate::{JobError, Output};

/// Runs one attempt.
pub(super) async fn run(service: &Service, call: &Call) -> Result<Output, JobError> {
    let response = request(service, call)?
        .send()
        .await
        .map_err(|error| broken(&error))?;
    if !response.status().is_success() {
        return Err(refusal::read(response, call.teller.now()).await);
    }
    if let Some(coding) = coding(&response) {
        return Err(JobError::fatal(format!(
            "the service answered with the content coding {coding}, which was not asked for"
        )));
    }
    if is_stream(&response) {
        stream::follow(response, call).await
    } else {
        answer::read(response, call).await
    }
}

/// The failure of a connection, at its start or later.
pub(super) fn broken(error: &reqwest::Error) -> JobError {
    let what = if error.is_connect() {
        "the service cannot be reached"
    } else {
        "the connection to the service broke"
    };
    JobError::new(format!("{what}: {}", reason(error)))
}

fn request(service: &Service, call: &Call) -> Result<RequestBuilder, JobError> {
    let mut told = vec![
        (CONTENT_TYPE, call.input.content_type.clone()),
        (name("clerkwork-job-id"), call.job.to_string()),
        (name("clerkwork-attempt"), call.attempt.to_string()),
        (name("clerkwork-queue"), call.queue.as_ref().to_owned()),
        (name("clerkwork-deadline-ms"), call.deadline.0.to_string()),
    ];
    if let Some(trace) = &call.trace {
        told.push((name("traceparent"), trace.parent.clone()));
        let state = trace.state.clone();
        told.extend(state.map(|state| (name("tracestate"), state)));
    }
    let mut request = service.client.post(service.url.as_ref().clone());
    for (name, value) in told {
        let value = HeaderValue::try_from(value)
            .map_err(|_| JobError::fatal(format!("the job's {name} cannot be a header")))?;
        request = request.header(name, value);
    }
    Ok(request.body(call.input.bytes.clone()))
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
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
