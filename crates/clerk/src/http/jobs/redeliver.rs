//! `POST /v1/jobs/{id}/redeliver`: send a done job's webhook again now.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clerkwork_core::Clock as _;

use crate::Desk;
use crate::http::auth::Caller;
use crate::http::connections::ClientAddress;
use crate::http::hold::{self, Held};
use crate::http::path::JobRef;
use crate::http::prefer::Wait;
use crate::http::problem::{Kind, Problem};
use crate::http::query::NoQuery;
use crate::http::view::{self, Sight};

/// Makes the webhook pending and due, whatever became of it before; a repeat changes nothing more.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JobRef(id): JobRef,
    _: NoQuery,
    address: ClientAddress,
) -> Result<Response, Problem> {
    let shown = hold::read(&desk, Some(&caller.tenant), id).await?;
    let job = &shown.as_ref().ok_or_else(Problem::no_such_job)?.job;
    if !job.done {
        return Err(Problem::of_state(Kind::NotDone, job.status));
    }
    if job.webhook.is_none() {
        return Err(Problem::of_state(Kind::NoWebhook, job.status));
    }
    let now = desk.clock.now();
    if !desk.store.redeliver(&caller.tenant, id, now).await? {
        // It was there when it was read: deleted in between.
        return Err(Problem::no_such_job());
    }
    desk.webhooks.wake();
    let shown = hold::read(&desk, Some(&caller.tenant), id).await?;
    let held = Held::at_once(shown.ok_or_else(Problem::no_such_job)?);
    let owner = address.owner(caller.key());
    let large = view::large_output_if_possible(&desk, owner, &held).await;
    let accepted = StatusCode::ACCEPTED;
    let mut response =
        view::answer(&desk, &held, large, &Wait::None, accepted, Sight::Whole).await?;
    *response.status_mut() = accepted;
    Ok(response)
}
