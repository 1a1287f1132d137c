//! Rates: 429 where a key has used its own up, and headers that say what is left of it.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use clerkwork_core::KeyId;

use crate::Desk;
use crate::bytes_in_flight::TooManyBytes;
use crate::http::auth::{Caller, Reader};
use crate::http::problem::{Kind, Problem};
use crate::http::respond;
use crate::http::router::Access;
use crate::limits::{Rate, STREAMS, TooMany};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Around an endpoint that takes submissions, which take of their rate when they are known to be sound.
pub(crate) async fn submissions(
    State(desk): State<Arc<Desk>>,
    request: Request,
    next: Next,
) -> Response {
    let (request, holder) = holder(&desk, Access::Clients, request).await;
    let mut response = next.run(request).await;
    if let Some(Holder(key)) = holder {
        tell(&desk, key, Rate::Submit, &mut response);
    }
    response
}

/// Around every other endpoint. Who is not let in is told so by the endpoint, and takes nothing.
pub(crate) async fn others(
    State((desk, access)): State<(Arc<Desk>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (request, holder) = holder(&desk, access, request).await;
    let Some(Holder(key)) = holder else {
        return next.run(request).await;
    };
    let mut response = match take(&desk, key, Rate::Other) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    tell(&desk, key, Rate::Other, &mut response);
    response
}

/// Takes one request of a key's rate.
pub(crate) fn take(desk: &Desk, key: Option<KeyId>, rate: Rate) -> Result<(), Problem> {
    desk.limits.take(key, rate).map_err(|wait| {
        let per_second = desk.limits.per_second(rate).unwrap_or(0);
        let what = match rate {
            Rate::Submit => "submissions",
            Rate::Other => "requests",
        };
        let detail = format!("more than {per_second} {what} in a second; nothing was done");
        // What is too short for a clock is no invitation to come back at once.
        Problem::quota(rate.name(), detail, respond::seconds(wait).max(1))
    })
}

/// The seconds after which to try again what is full.
const RETRY_S: u64 = 2;

/// A key, or a job by its watch tokens, has as many streams and sockets open as it may; or the clerk has.
pub(crate) fn too_many_streams(too_many: TooMany) -> Problem {
    match too_many {
        TooMany::OfKey => {
            let detail = format!(
                "this key or token has {STREAMS} streams and sockets open at this clerk; close some"
            );
            Problem::quota("streams", detail, 1)
        }
        TooMany::OfClerk => {
            let detail = "this clerk has as many streams as it may; try again, or ask another";
            Problem::because(Kind::Unavailable, detail).retry_after(RETRY_S)
        }
    }
}

/// As many bytes of a client, or of all, are on their way as may be.
pub(crate) fn too_many_bytes(too_many: TooManyBytes) -> Problem {
    match too_many {
        TooManyBytes::OfOwner => {
            let detail =
                "this key or address has as many bytes on their way as it may; nothing was done";
            Problem::quota("bytes-in-flight", detail, RETRY_S)
        }
        TooManyBytes::OfClerk => {
            let detail = "this clerk has as many bytes on their way as it may; nothing was done";
            Problem::because(Kind::Unavailable, detail).retry_after(RETRY_S)
        }
    }
}

/// Whose rate it is: that of a key, or of all who come without one.
struct Holder(Option<KeyId>);

/// Who asks, if they are let in.
async fn holder(desk: &Arc<Desk>, access: Access, request: Request) -> (Request, Option<Holder>) {
    let (mut parts, body) = request.into_parts();
    let key = if access == Access::Watchers {
        let reader = Reader::from_request_parts(&mut parts, desk).await;
        reader.map(|reader| reader.key())
    } else {
        let caller = Caller::from_request_parts(&mut parts, &()).await;
        caller.map(|caller| caller.key())
    };
    (Request::from_parts(parts, body), key.ok().map(Holder))
}

/// Says what is left, as structured fields: so many within a window of one second.
fn tell(desk: &Desk, key: Option<KeyId>, rate: Rate, response: &mut Response) {
    let Some(left) = desk.limits.left(key, rate) else {
        return;
    };
    let name = left.rate.name();
    let headers = response.headers_mut();
    let policy = format!("\"{name}\";q={};w=1", left.per_second);
    headers.insert(POLICY, respond::value(policy));
    let limit = format!("\"{name}\";r={};t=1", left.now);
    headers.insert(LIMIT, respond::value(limit));
}
