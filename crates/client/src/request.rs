//! One request as it can be sent again and again, and its answer.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::content::Content;
use crate::error::Error;

/// How much longer than its wait a request may take.
const READ_MARGIN: Duration = Duration::from_secs(15);

/// The slowest transfer that is still waited for, in bytes a second.
const SLOWEST: u64 = 64 * 1024;

/// The largest body that a server sends.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path and the query, from the server's root.
    pub(crate) target: String,
    pub(crate) body: Body,
    /// The seconds for which the server may hold it.
    pub(crate) wait: Option<u64>,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Body {
    Nothing,
    Json(Bytes),
    Parts { job: Bytes, input: Content },
}

impl Request {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: Body::Nothing,
            wait: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub(crate) fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    pub(crate) fn wait(mut self, wait: Option<u64>) -> Self {
        self.wait = wait;
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// How long one try may take: longer than the server may hold it.
    pub(crate) fn limit(&self) -> Duration {
        let sent = match &self.body {
            Body::Nothing => 0,
            Body::Json(bytes) => bytes.len(),
            Body::Parts { job, input } => job.len() + input.bytes.len(),
        };
        let transfer = u64::try_from(sent).unwrap_or(LARGEST) / SLOWEST;
        Duration::from_secs(self.wait.unwrap_or(0) + transfer) + READ_MARGIN
    }

    /// Puts body and headers into one try.
    pub(crate) fn fill(
        &self,
        mut try_: reqwest::RequestBuilder,
    ) -> Result<reqwest::RequestBuilder, Error> {
        if let Some(wait) = self.wait {
            try_ = try_.header("prefer", format!("wait={wait}"));
        }
        for (name, value) in &self.headers {
            try_ = try_.header(name, value);
        }
        Ok(match &self.body {
            Body::Nothing => try_,
            Body::Json(bytes) => try_
                .header("content-type", clerkwork_core::public::JSON)
                .body(bytes.clone()),
            Body::Parts { job, input } => try_.multipart(
                Form::new()
                    .part("job", part(job.clone(), clerkwork_core::public::JSON)?)
                    .part("input", part(input.bytes.clone(), &input.media_type)?),
            ),
        })
    }
}

fn part(bytes: Bytes, media_type: &str) -> Result<Part, Error> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Part::stream_with_length(bytes, length)
        .mime_str(media_type)
        .map_err(|_| Error::Input(format!("`{media_type}` is not a media type")))
}

/// An answer that is a success or a 304.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Unexpected(format!("{}: {error}", self.status)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The seconds after which the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// The longest pause that a server may ask for: what is longer is a mistake, or means us harm.
const LONGEST_PAUSE: u64 = 24 * 60 * 60;

/// Reads `Retry-After` in its form of seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_PAUSE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_take_15_s_longer_than_the_server_may_hold_it() {
        let limit = |wait| Request::get("/v1/jobs").wait(wait).limit().as_secs();
        assert_eq!(limit(None), 15);
        assert_eq!(limit(Some(45)), 60);
        // And as long as it takes to send what it carries.
        let large = Body::Json(vec![b'1'; 64 * 1024 * 10].into());
        let sent = Request::post("/v1/jobs").body(large).wait(Some(45));
        assert_eq!(sent.limit().as_secs(), 70);
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_a_day_of_it_at_most() {
        let asked = |value: &'static str| {
            let value = reqwest::header::HeaderValue::from_static(value);
            retry_after(&HeaderMap::from_iter([(
                reqwest::header::RETRY_AFTER,
                value,
            )]))
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("99999999"), Some(Duration::from_secs(86_400)));
        assert_eq!(asked("soon"), None);
    }
}
