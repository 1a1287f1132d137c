//! An HTTP service as a worker: one POST per attempt, input and output as bodies.
//!
//! Any 2xx is success. 408, 425, 429, 5xx and a connection that breaks are failures by policy, and
//! any other status is one that is never retried. Without a connection the attempt was not started. An answer of `text/event-stream` tells events on
//! the way and ends with the output or an error. Redirects are not followed, no proxy is asked, and
//! an attempt that is to stop closes its connection.

mod answer;
mod attempt;
mod connections;
mod refusal;
mod request;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use url::Url;

use crate::call::Call;
use crate::registry::{Run, RunError};
use crate::{Error, JobError, Output};
use connections::UsedConnections;

/// How long the service may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next attempt: shorter than servers keep theirs, so that
/// none is used that its server is about to close.
const KEPT: Duration = Duration::from_secs(1);

/// When a connection that says nothing is asked whether it lives, and how often.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// An HTTP service that runs the jobs of a queue; clones share its connections.
#[derive(Clone)]
pub struct Service {
    url: Arc<Url>,
    client: reqwest::Client,
    /// Keeps no connection.
    fresh: reqwest::Client,
    used: Arc<UsedConnections>,
}

impl Service {
    /// The service at this `http` or `https` URL. `https` trusts the roots of the system; a name
    /// and a password in the URL are sent as Basic authentication.
    ///
    /// # Errors
    /// It is no such URL, or the system has no roots to trust.
    pub fn new(url: &str) -> Result<Self, Error> {
        // The error does not repeat the URL: it may hold a password.
        let refused = |why: String| Error::NoService(why);
        let url = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!("its scheme is {}", url.scheme())));
        }
        // Another provider that the program installed before serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |kept: usize| client(&url, kept).map_err(|error| refused(reason(&error)));
        Ok(Self {
            client: client(usize::MAX)?,
            fresh: client(0)?,
            used: Arc::default(),
            url: Arc::new(url),
        })
    }
}

/// A client of the service at `url` that keeps so many connections.
fn client(url: &Url, kept: usize) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("clerkwork/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(KEPT)
        .pool_max_idle_per_host(kept)
        .tcp_keepalive(PROBE_AFTER)
        .tcp_keepalive_interval(PROBE_EVERY)
        .tcp_keepalive_retries(PROBES);
    if url.scheme() == "http" {
        // Certificates would be read for nothing, and a small container has none.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

impl Run for Service {
    fn run(&self, call: Call) -> BoxFuture<'static, Result<Output, RunError>> {
        let service = self.clone();
        Box::pin(async move {
            tokio::select! {
                biased;
                ended = attempt::run(&service, &call) => ended,
                // Dropping the request closes its connection, which the service can notice.
                () = call.stop.cancelled() => Err(match call.started.is_cancelled() {
                    true => JobError::new("the request was stopped").into(),
                    false => RunError::NotStarted(
                        "the service did not accept a connection in time".to_owned(),
                    ),
                }),
            }
        })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "Service({}://{host})", self.url.scheme())
    }
}

/// The innermost cause, which is what people can act on; the URL is not in it.
fn reason(error: &reqwest::Error) -> String {
    if error.is_connect() && error.is_timeout() {
        return format!("no connection within {CONNECT_LIMIT:?}");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_are_services_and_no_password_is_shown() {
        for url in ["", "127.0.0.1:80", "ftp://h/", "unix:/run/x", "http://"] {
            let refused = Service::new(url).unwrap_err().to_string();
            assert!(refused.contains("http://127.0.0.1:9000/jobs"), "{refused}");
        }
        let service = Service::new("http://me:hush@h:1/jobs").unwrap();
        assert_eq!(format!("{service:?}"), "Service(http://h)");
        let refused = Service::new("ftp://me:hush@h").unwrap_err().to_string();
        assert!(!refused.contains("hush"), "{refused}");
    }
}
