//! `GET /v1/jobs/{id}/output`: the output as the worker made it, at once or when it is there.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use clerkwork_core::{Clock as _, Status};

use crate::Desk;
use crate::http::auth::Reader;
use crate::http::connections::ClientAddress;
use crate::http::half_close::HalfClose;
use crate::http::hold::{self, Held, Until};
use crate::http::jobs::bytes;
use crate::http::path::JobRef;
use crate::http::prefer::{PREFERENCE_APPLIED, Wait};
use crate::http::problem::{Kind, Problem};
use crate::http::query::OnlyToken;
use crate::http::{etag, view};

/// Hands out the output.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    reader: Reader,
    JobRef(id): JobRef,
    _: OnlyToken,
    half_close: HalfClose,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = Wait::asked(&headers, half_close, &desk, reader.key());
    let has = etag::has(&headers, &etag::ONLY);
    // The headers lie in the connection's buffer: a held request must not keep that alive.
    drop(headers);
    let watch = wait.holds().then(|| desk.waiters.subscribe(id));
    let first = hold::read(&desk, reader.tenant(), id).await?;
    let first = first.ok_or_else(Problem::no_such_job)?;
    let held = hold::hold(&desk, reader.tenant(), first, watch, Until::Done, &wait).await;
    if held.newest.job.status != Status::Succeeded {
        let problem = none_there(&desk, &held);
        return Ok(after(&wait, problem.into_response()));
    }
    if has {
        return Ok(after(&wait, bytes::not_modified()));
    }
    let owner = address.owner(reader.key());
    let size = held.newest.job.output_size.unwrap_or(0);
    let output = desk.limits.outputs().get(&desk, owner, id, size);
    let output = output.await?;
    let output = output.ok_or_else(Problem::no_such_job)?;
    let answer = bytes::answer(output.bytes(), output.media_type());
    Ok(after(&wait, answer))
}

/// The answer, with the wait that came before it.
fn after(wait: &Wait, mut response: Response) -> Response {
    if let Some(applied) = wait.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

fn none_there(desk: &Desk, held: &Held) -> Problem {
    let job = &held.newest.job;
    if job.done {
        return Problem::of_state(Kind::NoOutput, job.status);
    }
    let seconds = view::retry_after(job, held.end, desk.clock.now());
    Problem::of_state(Kind::NotDone, job.status).retry_after(seconds)
}
