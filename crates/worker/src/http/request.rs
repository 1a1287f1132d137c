//! The request of one attempt, of which it is known when a connection takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use tokio_util::sync::CancellationToken;

use super::{Service, reason};
use crate::JobError;
use crate::call::Call;
use crate::registry::RunError;

/// Sends the request, and once more where a connection that was used before broke under it.
pub(super) async fn send(service: &Service, call: &Call) -> Result<Response, RunError> {
    let headers = headers(call)?;
    let error = match send_by(&service.client, service, &headers, call).await {
        Ok(response) => {
            service.used.note(&response);
            return Ok(response);
        }
        Err(error) => error,
    };
    if !service.used.broke(&error) {
        return Err(failure(&error, call));
    }
    tracing::debug!(job.id = %call.job, "a kept connection was closed by the service; asking again");
    let again = send_by(&service.fresh, service, &headers, call).await;
    again.map_err(|error| failure(&error, call))
}

async fn send_by(
    client: &Client,
    service: &Service,
    headers: &HeaderMap,
    call: &Call,
) -> Result<Response, reqwest::Error> {
    let bytes = call.input.bytes.clone();
    let body = reqwest::Body::wrap(Input {
        bytes: (!bytes.is_empty()).then_some(bytes),
        started: call.started.clone(),
    });
    let request = client.post(service.url.as_ref().clone());
    request.headers(headers.clone()).body(body).send().await
}

/// The end of a request that was not answered: nothing of the job was started where no connection was made.
fn failure(error: &reqwest::Error, call: &Call) -> RunError {
    if error.is_connect() && !call.started.is_cancelled() {
        return RunError::NotStarted(format!("the service cannot be reached: {}", reason(error)));
    }
    broken(error).into()
}

/// The failure of a connection once a request was sent.
pub(super) fn broken(error: &reqwest::Error) -> JobError {
    JobError::new(format!(
        "the connection to the service broke: {}",
        reason(error)
    ))
}

fn headers(call: &Call) -> Result<HeaderMap, JobError> {
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
    if call.input.bytes.is_empty() {
        // A body that has ended by itself is sent without its length, which some services ask for.
        told.push((CONTENT_LENGTH, "0".to_owned()));
    }
    let mut headers = HeaderMap::with_capacity(told.len());
    for (name, value) in told {
        let value = HeaderValue::try_from(value)
            .map_err(|_| JobError::fatal(format!("the job's {name} cannot be a header")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// The input as the body of a request, which notes when it is asked for, or whether it has any bytes: that is done by
/// the connection that takes the request.
#[derive(Debug)]
struct Input {
    /// The bytes that are not sent yet, where there are any.
    bytes: Option<Bytes>,
    started: CancellationToken,
}

impl Body for Input {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.started.cancel();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.started.cancel();
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
