//! The client: one server, one key, and patience.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderValue;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::error::{Error, Problem};
use crate::request::{Answer, Request, retry_after};

/// How long a request is repeated after its first failure, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before the first repeat, doubled with each up to the longest.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The longest answer that is read: twice the largest body of a job, so that whoever answers in the
/// server's place cannot fill our memory.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// How much of an answer that is no problem of ours is shown.
const SHOWN: usize = 200;

/// A client of one server; clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    pub(crate) patience: Duration,
}

impl Client {
    /// A client of the server at `url`, without a key.
    ///
    /// # Errors
    /// [`Error::Input`] if `url` is no `http` or `https` address.
    pub fn new(url: &str) -> Result<Self, Error> {
        let refused = |why: &str| {
            Error::Input(format!(
                "`{url}` is not a server's address ({why}); write it like http://127.0.0.1:8080"
            ))
        };
        let mut base = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(refused("neither http nor https"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Another provider that the program installed before serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("clerkwork/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT);
        if base.scheme() == "http" {
            // Certificates would be read for nothing, and a small container has none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| Error::Input(reason(&error)))?;
        Ok(Self {
            http,
            base,
            authorization: None,
            patience: PATIENCE,
        })
    }

    /// Sends this key with every request.
    ///
    /// # Errors
    /// [`Error::Input`] if it cannot be a key.
    pub fn api_key(mut self, key: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Error::Input("the API key has characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Repeats requests for so long while the server is away or asks to come again later, counted
    /// from the first failure: a request may be held for long before it fails.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        self.send_for(request, self.patience, None).await.0
    }

    /// Sends, and repeats for `patience` after the first failure but not after `until`; also tells
    /// how often it was sent.
    pub(crate) async fn send_for(
        &self,
        request: &Request,
        patience: Duration,
        until: Option<Instant>,
    ) -> (Result<Answer, Error>, u32) {
        let mut failed = None;
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let (error, asked) = match self.try_once(request).await {
                Ok(answer) => return (Ok(answer), tries),
                Err(Failed::Final(error)) => return (Err(error), tries),
                Err(Failed::Passing(error, asked)) => (error, asked),
            };
            let next = pause
                .mul_f64(rand::random_range(0.5..1.5))
                .max(asked.unwrap_or_default());
            let now = Instant::now();
            let away = now.duration_since(*failed.get_or_insert(now));
            if away + next > patience || until.is_some_and(|until| now + next > until) {
                return (Err(error), tries);
            }
            sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            tries += 1;
        }
    }

    async fn try_once(&self, request: &Request) -> Result<Answer, Failed> {
        let sent = self.prepare(request)?.timeout(request.limit()).send();
        let response = sent.await.map_err(|error| self.unreachable(&error))?;
        self.read(response).await
    }

    /// A request with all that it carries.
    pub(crate) fn prepare(&self, request: &Request) -> Result<reqwest::RequestBuilder, Failed> {
        let url = self
            .base
            .join(&request.target)
            .map_err(|error| Failed::Final(Error::Input(format!("{}: {error}", request.target))))?;
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some(authorization) = &self.authorization {
            builder = builder.header("authorization", authorization.clone());
        }
        request.fill(builder).map_err(Failed::Final)
    }

    /// Reads an answer to its end, and as an error where it is none of success.
    pub(crate) async fn read(&self, response: reqwest::Response) -> Result<Answer, Failed> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await?;
        if status.is_success() || status == reqwest::StatusCode::NOT_MODIFIED {
            return Ok(Answer {
                status,
                headers,
                body,
            });
        }
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::of(problem),
            Err(_) if passing => self.away(format!("{status} from something before the server")),
            Err(_) => Error::Unexpected(format!("{status} {}", shown(&body))),
        };
        Err(if passing {
            Failed::Passing(error, retry_after(&headers))
        } else {
            Failed::Final(error)
        })
    }

    /// The whole body, unless it is longer than any of a server.
    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, Failed> {
        let mut body = BytesMut::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(Failed::Final(Error::Unexpected(format!(
                    "the answer is longer than {} MiB, and no server of ours sends so much; check \
                     that {} is one",
                    LONGEST_ANSWER / 1024 / 1024,
                    self.url()
                ))));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failed {
        if error.is_builder() {
            return Failed::Final(Error::Input(reason(error)));
        }
        Failed::Passing(self.away(reason(error)), None)
    }

    pub(crate) fn away(&self, reason: String) -> Error {
        Error::Unreachable {
            url: self.url().to_owned(),
            reason,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// Why one try failed, and whether another may not.
#[derive(Debug)]
pub(crate) enum Failed {
    Final(Error),
    /// With the pause that the server asked for.
    Passing(Error, Option<Duration>),
}

/// The innermost cause, which is what people can act on.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned()
}
