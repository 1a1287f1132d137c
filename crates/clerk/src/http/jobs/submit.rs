//! `POST /v1/jobs`: submit a job, and wait for its end if asked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use clerkwork_core::{Job, JobId, Trace};
use clerkwork_faults::{Defect, has};

use crate::bytes_in_flight::Owner;
use crate::http::auth::Caller;
use crate::http::body::Size;
use crate::http::connections::ClientAddress;
use crate::http::hold::{self, Until};
use crate::http::jobs::key::{self, KeyHash};
use crate::http::jobs::parse::{Form, Terms};
use crate::http::prefer::Wait;
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::view::Sight;
use crate::http::{body, query, rates, respond, trace, view};
use crate::limits::Rate;
use crate::{Answer, Desk, Shown, Watch};

/// Accepts a job.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let promised = body::promised(&parts.headers);
    let asked = asked(&parts, &desk, &caller);
    let asker = Asker {
        caller: &caller,
        owner: ClientAddress::of(&parts).owner(caller.key()),
    };
    // The headers lie in the connection's buffer: a held request must not keep that alive.
    drop(parts);
    let size = Size {
        promised,
        most: desk.config.max_input.saturating_add(body::ROOM),
        limit: desk.config.max_input,
    };
    let mut reserved = desk.limits.bytes().none(asker.owner);
    let body = body::read_large(body, size, &mut reserved).await?;
    let body = reserved.count(body);
    let asked = asked?;
    let (order, fingerprint) = form.read(body, Terms::of(&desk), asked.trace).await?;
    caller.check_queue(&order.queue)?;
    if !desk.queues.unknown(&[&order.queue]).await?.is_empty() {
        return Err(Problem::unknown_queue(order.queue.as_str()));
    }
    rates::take(&desk, caller.key(), Rate::Submit)?;
    if has(Defect::TransactionInHandler) && asked.key.is_some() {
        let _ = desk.store.any_keys().await;
    }
    desk.queues.create(&[&order.queue]).await?;
    let key = asked.key.map(|key| key.used_for(fingerprint));
    let submission = order.submission(caller.tenant.clone(), key, asked.wait.holds());
    match desk.intake.submit(submission).await? {
        Answer::New { job, watch } => accepted(&desk, &asker, job, watch, &asked.wait).await,
        Answer::Replayed(id) => {
            let replayed = again(&desk, &asker, id, &asked.wait).await?;
            let mut response = replayed.ok_or_else(reused)?;
            let headers = response.headers_mut();
            headers.insert(key::REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Answer::KeyReused => Err(reused()),
        Answer::Unfit => Err(unfit()),
        Answer::NoOriginal => Err(Problem::new(Kind::Internal)),
    }
}

/// A caller, and the owner of the answer's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) owner: Owner,
}

/// Answers for a job that was accepted just now.
pub(crate) async fn accepted(
    desk: &Desk,
    asker: &Asker<'_>,
    job: Arc<Job>,
    watch: Option<Watch>,
    wait: &Wait,
) -> Result<Response, Problem> {
    let first = Arc::new(view::without_output(desk, &job));
    drop(job);
    finish(desk, asker, first, watch, wait).await
}

/// Answers for a job that was accepted before; `None` if it is gone.
pub(crate) async fn again(
    desk: &Desk,
    asker: &Asker<'_>,
    id: JobId,
    wait: &Wait,
) -> Result<Option<Response>, Problem> {
    let watch = wait.holds().then(|| desk.waiters.subscribe(id));
    let Some(first) = hold::read(desk, Some(&asker.caller.tenant), id).await? else {
        return Ok(None);
    };
    finish(desk, asker, first, watch, wait).await.map(Some)
}

async fn finish(
    desk: &Desk,
    asker: &Asker<'_>,
    first: Arc<Shown>,
    watch: Option<Watch>,
    wait: &Wait,
) -> Result<Response, Problem> {
    let tenant = Some(&*asker.caller.tenant);
    let held = hold::hold(desk, tenant, first, watch, Until::Done, wait).await;
    let large = view::large_output_if_possible(desk, asker.owner, &held).await;
    let accepted = StatusCode::ACCEPTED;
    let mut response = view::answer(desk, &held, large, wait, accepted, Sight::Whole).await?;
    let location = format!("/v1/jobs/{}", held.newest.job.id);
    response
        .headers_mut()
        .insert(LOCATION, respond::value(location));
    Ok(response)
}

/// What the headers ask for.
struct Asked {
    wait: Wait,
    key: Option<KeyHash>,
    trace: Option<Trace>,
}

fn asked(parts: &Parts, desk: &Desk, caller: &Caller) -> Result<Asked, Problem> {
    let [] = query::params(parts.uri.query(), [])?;
    let half_close = parts.extensions.get().cloned().unwrap_or_default();
    Ok(Asked {
        wait: Wait::asked(&parts.headers, half_close, desk, caller.key()),
        key: key::of(&parts.headers, &caller.tenant)?,
        trace: trace::of(&parts.headers),
    })
}

/// What is asked for cannot be stored.
pub(crate) fn unfit() -> Problem {
    Complaints::one(
        Kind::InvalidRequest,
        "",
        "holds something that the store cannot keep",
    )
}

/// The key stands for something else, or for something that is gone.
pub(crate) fn reused() -> Problem {
    Problem::because(
        Kind::KeyReused,
        "this Idempotency-Key was used for another request, or its job was deleted: use a new one",
    )
}
