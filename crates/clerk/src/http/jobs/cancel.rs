//! `POST /v1/jobs/{id}/cancel`: ask a job to stop.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::connections::ClientAddress;
use crate::http::half_close::HalfClose;
use crate::http::hold::{self, Until};
use crate::http::path::JobRef;
use crate::http::prefer::Wait;
use crate::http::problem::Problem;
use crate::http::query::NoQuery;
use crate::http::view::{self, Sight};

/// Cancels a job; one that is done stays as it is.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
    half_close: HalfClose,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = Wait::asked(&headers, half_close, &desk, caller.key());
    // The headers lie in the connection's buffer: a held request must not keep that alive.
    drop(headers);
    let watch = wait.holds().then(|| desk.waiters.subscribe(id));
    let cancelled = desk.recorder.cancel(&caller.tenant, id).await?;
    let job = cancelled.ok_or_else(Problem::no_such_job)?;
    // A job that is done may have an output, which the recorder does not bring along.
    let first = match job.is_done() {
        true => hold::read(&desk, Some(&caller.tenant), id).await?,
        false => None,
    };
    let first = first.unwrap_or_else(|| Arc::new(view::without_output(&desk, &job)));
    let held = hold::hold(
        &desk,
        Some(&caller.tenant),
        first,
        watch,
        Until::Done,
        &wait,
    )
    .await;
    let owner = address.owner(caller.key());
    let large = view::large_output_if_possible(&desk, owner, &held).await;
    let accepted = StatusCode::ACCEPTED;
    view::answer(&desk, &held, large, &wait, accepted, Sight::Whole).await
}
