//! Who asks, and whether they may: for every path under `/v1`, before anything else is said of it.
//!
//! [`identify`] lies around all routes and fallbacks. [`Caller`] is what endpoints take that are for
//! holders of keys, [`Reader`] what those take that a watch token opens too, and [`operators`] lies
//! around the routes that are for operators only.

use std::sync::{Arc, LazyLock};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use clerkwork_core::{Clock as _, JobId, KeyId, QueueName, Role};
use clerkwork_store::KnownKey;
use url::form_urlencoded;

use crate::Desk;
use crate::http::problem::{Kind, Problem};
use crate::http::view::Sight;
use crate::http::{browsers, path};
use crate::keys::Denied;
use crate::limits::Viewer;

/// The tenant of everybody while there are no keys.
static DEFAULT_TENANT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

/// Who asks, by their key. Every endpoint under `/v1` takes one, so that none can forget whose jobs it
/// may show.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose jobs may be seen and changed.
    pub(crate) tenant: Arc<str>,
    /// What they came with; nothing, while there are no keys.
    key: Option<Arc<KnownKey>>,
}

impl Caller {
    /// Anybody, while there are no keys.
    pub(crate) fn everybody() -> Self {
        Self {
            tenant: DEFAULT_TENANT.clone(),
            key: None,
        }
    }

    /// Whoever shows this key outside of a header.
    pub(crate) async fn by_key(desk: &Desk, key: &str) -> Result<Self, Problem> {
        known(desk, Some(key)).await
    }

    /// Whether they would still be let in: asked by what stays open for long.
    pub(crate) async fn may_stay(&self, desk: &Desk) -> bool {
        desk.keys.still_lets_in(self.key()).await
    }

    fn holder(key: Arc<KnownKey>) -> Self {
        Self {
            tenant: key.tenant.text().clone(),
            key: Some(key),
        }
    }

    /// The name of their key.
    pub(crate) fn key(&self) -> Option<KeyId> {
        self.key.as_ref().map(|key| key.id)
    }

    /// With whose streams theirs are counted.
    pub(crate) fn viewer(&self) -> Option<Viewer> {
        self.key().map(Viewer::Key)
    }

    /// The only queues that they may use; none: all.
    pub(crate) fn queues(&self) -> &[QueueName] {
        self.key.as_ref().map_or(&[], |key| &key.queues)
    }

    /// Whether they may use this queue.
    pub(crate) fn may_use(&self, queue: &QueueName) -> bool {
        self.queues().is_empty() || self.queues().contains(queue)
    }

    /// Refuses a queue that they may not use.
    pub(crate) fn check_queue(&self, queue: &QueueName) -> Result<(), Problem> {
        if self.may_use(queue) {
            return Ok(());
        }
        let detail = format!("this key is not for queue {queue}");
        Err(Problem::because(Kind::Forbidden, detail))
    }

    fn is_operator(&self) -> bool {
        self.key
            .as_ref()
            .is_none_or(|key| key.role == Role::Operator)
    }
}

/// What is known of who sent a request under `/v1`.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// They may come in.
    Caller(Caller),
    /// They may not, for this reason, unless something else than a key lets them in.
    Nobody(Problem),
}

/// Who looks at one job: a caller, or whoever has a watch token of it.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// By their key.
    Caller(Caller),
    /// By a token.
    Watcher,
}

impl Reader {
    /// Whose job it must be; a token is of one job, whosever it is.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Caller(caller) => Some(&caller.tenant),
            Self::Watcher => None,
        }
    }

    /// The name of their key, if they have one.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match self {
            Self::Caller(caller) => caller.key(),
            Self::Watcher => None,
        }
    }

    /// With whose streams one more of theirs, which follows this job, is counted.
    pub(crate) fn viewer(&self, job: JobId) -> Option<Viewer> {
        match self {
            Self::Caller(caller) => caller.viewer(),
            Self::Watcher => Some(Viewer::Token(job)),
        }
    }

    /// Whoever has a watch token of this job.
    pub(crate) fn by_token(desk: &Desk, job: JobId, token: &str) -> Option<Self> {
        let opens = desk.watch_seal.opens(token, job, desk.clock.now());
        opens.then_some(Self::Watcher)
    }

    /// Whether they may follow jobs of this queue.
    pub(crate) fn may_use(&self, queue: &QueueName) -> bool {
        match self {
            Self::Caller(caller) => caller.may_use(queue),
            Self::Watcher => true,
        }
    }

    /// Whether they would still be let in: asked by what stays open for long.
    pub(crate) async fn may_stay(&self, desk: &Desk) -> bool {
        match self {
            Self::Caller(caller) => caller.may_stay(desk).await,
            Self::Watcher => true,
        }
    }

    /// How much of the job they see.
    pub(crate) fn sight(&self) -> Sight {
        match self {
            Self::Caller(_) => Sight::Whole,
            Self::Watcher => Sight::Watched,
        }
    }
}

/// Finds out who asks. Who is nobody is refused here, unless a token or a WebSocket's first message
/// may still let them in: then by what the endpoint takes.
pub(crate) async fn identify(
    State(desk): State<Arc<Desk>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if path != "/v1" && !path.starts_with("/v1/") {
        return next.run(request).await;
    }
    let identity = match caller(&desk, request.headers()).await {
        Ok(caller) if caller.key.is_none() => match no_stranger(&desk, &request) {
            Ok(()) => Identity::Caller(caller),
            Err(problem) => return problem.into_response(),
        },
        Ok(caller) => Identity::Caller(caller),
        Err(problem) if path == "/v1/ws" || token(request.uri()).is_some() => {
            Identity::Nobody(problem)
        }
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}

/// Lets operators through, to the queues that their key is for; tells the log what they change.
pub(crate) async fn operators(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match operator(&mut parts).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let act = (parts.method.clone(), parts.uri.path().to_owned());
    let response = next.run(Request::from_parts(parts, body)).await;
    let (method, path) = act;
    if !matches!(method, Method::GET | Method::HEAD) {
        let key = caller.key().map(tracing::field::display);
        let status = response.status().as_u16();
        tracing::info!(target: "clerkwork::audit", tenant = %caller.tenant, key, %method, path, status, "an operator acted");
    }
    response
}

async fn operator(parts: &mut Parts) -> Result<Caller, Problem> {
    let caller = Caller::from_request_parts(parts, &()).await?;
    if !caller.is_operator() {
        let detail = "this needs a key with the role operator";
        return Err(Problem::because(Kind::Forbidden, detail));
    }
    // What can be no queue's name is told so by the endpoint.
    let queue = path::only_param(parts, &()).await;
    if let Some(queue) = queue.and_then(|queue| queue.parse().ok()) {
        caller.check_queue(&queue)?;
    }
    Ok(caller)
}

/// Refuses what a web page of a stranger asks where no key is needed. Other origins' pages cannot read
/// answers, so that only what would change something is refused to them.
fn no_stranger(desk: &Desk, request: &Request) -> Result<(), Problem> {
    let allowed = &desk.config.cors_origins;
    browsers::check_host(allowed, request.headers())?;
    if request.method().is_safe() {
        return Ok(());
    }
    browsers::check_origin(allowed, request.headers())
}

/// Who the headers say that they are.
async fn caller(desk: &Desk, headers: &HeaderMap) -> Result<Caller, Problem> {
    known(desk, bearer(headers)).await
}

async fn known(desk: &Desk, key: Option<&str>) -> Result<Caller, Problem> {
    match desk.keys.holder(key).await {
        Ok(None) => Ok(Caller::everybody()),
        Ok(Some(key)) => Ok(Caller::holder(key)),
        Err(denied) => Err(problem(denied)),
    }
}

/// What the header shows; a text that is no key where it cannot be read.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let first = lines.next()?;
    let only = lines.next().is_none().then(|| first.to_str().ok());
    let key = only.flatten().and_then(|line| {
        let (scheme, key) = line.trim().split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        bearer.then(|| key.trim_start())
    });
    Some(key.unwrap_or(""))
}

fn problem(denied: Denied) -> Problem {
    match denied {
        Denied::Missing => Problem::because(
            Kind::Unauthenticated,
            "this needs an API key: send it as Authorization: Bearer cwk_…",
        ),
        Denied::Unknown => Problem::because(
            Kind::Unauthenticated,
            "this is no API key that is good here, or it was revoked",
        ),
        Denied::Busy => Problem::quota(
            "unknown-keys",
            "too many unknown API keys are being tried",
            1,
        ),
        Denied::Away => Problem::because(
            Kind::Unavailable,
            "the store is away, so it cannot be told whether the API key is good; nothing was done",
        )
        .retry_after(2),
    }
}

/// The watch token of a URL.
fn token(uri: &Uri) -> Option<String> {
    form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token.into_owned())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get() {
            Some(Identity::Caller(caller)) => Ok(caller.clone()),
            Some(Identity::Nobody(problem)) => Err(problem.clone()),
            // Only a path that `identify` does not know.
            None => Err(problem(Denied::Missing)),
        }
    }
}

impl FromRequestParts<Arc<Desk>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, desk).await {
            Ok(caller) => Ok(Self::Caller(caller)),
            Err(problem) => {
                let id = path::only_param(parts, desk).await;
                let id = id.and_then(|id| id.parse().ok());
                id.zip(token(&parts.uri))
                    .and_then(|(id, token)| Self::by_token(desk, id, &token))
                    .ok_or(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_the_header_is_there_once() {
        let shown = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, HeaderValue::from_static(line));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(shown(&[]), None);
        for good in ["Bearer k", "bearer k", "BEARER   k", " Bearer k "] {
            assert_eq!(shown(&[good]).as_deref(), Some("k"), "{good}");
        }
        for bad in [
            &["k"][..],
            &["Basic k"],
            &["Bearer"],
            &["Bearer k", "Bearer k"],
        ] {
            assert_eq!(shown(bad).as_deref(), Some(""), "{bad:?}");
        }
    }
}
