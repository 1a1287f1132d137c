//! `POST /v1/jobs/batch`: submit many jobs, all of them or none.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use clerkwork_core::public::JSON;
use clerkwork_core::{JobId, JobObject, QueueName, Trace};
use serde::Serialize;

use crate::http::auth::Caller;
use crate::http::body::Size;
use crate::http::connections::ClientAddress;
use crate::http::jobs::key::{self, KeyHash};
use crate::http::jobs::parse::{self, Order, Terms};
use crate::http::jobs::submit;
use crate::http::problem::{Complaints, Kind, Problem};
use crate::http::{body, object, query, rates, respond, trace, view};
use crate::limits::Rate;
use crate::{BatchAnswer, Desk, Submission};

/// The most jobs of a batch.
pub(crate) const MOST: usize = 1_000;
/// The most bytes of a batch.
pub(crate) const MOST_BYTES: usize = 15 * 1024 * 1024;

/// The most bytes that are reserved for one: they are reserved in steps.
pub(crate) const MOST_RESERVED: usize = MOST_BYTES + body::STEP;

/// Accepts a batch in one commit. Nothing is waited for.
pub(crate) async fn handler(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    only_json(&parts.headers)?;
    let promised = body::promised(&parts.headers);
    let asked = asked(&parts, &caller);
    let owner = ClientAddress::of(&parts).owner(caller.key());
    drop(parts);
    let size = Size {
        promised,
        most: MOST_BYTES,
        limit: MOST_BYTES,
    };
    // Until all is done: the jobs' inputs are copies.
    let mut reserved = desk.limits.bytes().none(owner);
    let body = body::read_large(body, size, &mut reserved).await?;
    let (key, trace) = asked?;
    let key = key.map(|key| key.used_for(key::fingerprint(&body, "batch", &[])));
    let orders = orders(&body, Terms::of(&desk), trace.as_ref())?;
    drop(body);
    let queues = check_queues(&desk, &caller, &orders).await?;
    rates::take(&desk, caller.key(), Rate::Submit)?;
    desk.queues.create(&queues).await?;
    let submission = |order: Order| order.submission(caller.tenant.clone(), key.clone(), false);
    let submissions: Vec<Submission> = orders.into_iter().map(submission).collect();
    match desk.intake.submit_batch(submissions).await? {
        BatchAnswer::New(jobs) => {
            let jobs = jobs
                .iter()
                .map(|job| view::listed(&desk, &view::without_output(&desk, job).job))
                .collect();
            respond::json(StatusCode::ACCEPTED, &Batch { jobs })
        }
        BatchAnswer::Replayed(ids) => replayed(&desk, &caller, &ids).await,
        BatchAnswer::KeyReused => Err(submit::reused()),
        BatchAnswer::Unfit => Err(submit::unfit()),
    }
}

#[derive(Serialize)]
struct Batch {
    jobs: Vec<JobObject>,
}

fn only_json(headers: &HeaderMap) -> Result<(), Problem> {
    if body::media_type(headers)?.as_deref() == Some(JSON) {
        return Ok(());
    }
    Err(Problem::because(
        Kind::UnsupportedMediaType,
        "a batch is submitted as application/json: say so in Content-Type",
    ))
}

fn asked(parts: &Parts, caller: &Caller) -> Result<(Option<KeyHash>, Option<Trace>), Problem> {
    let [] = query::params(parts.uri.query(), [])?;
    let key = key::of(&parts.headers, &caller.tenant)?;
    Ok((key, trace::of(&parts.headers)))
}

/// The jobs of a batch, or everything that is wrong with them.
fn orders(body: &[u8], terms: Terms<'_>, trace: Option<&Trace>) -> Result<Vec<Order>, Problem> {
    let mut complaints = Complaints::default();
    let [jobs] = object::members(body, ["jobs"], &mut complaints)?;
    let jobs = jobs.and_then(|jobs| object::elements(jobs, MOST));
    let jobs = jobs.filter(|jobs| !jobs.is_empty()).unwrap_or_else(|| {
        complaints.add("jobs", format!("must be an array of 1 to {MOST} jobs"));
        Vec::new()
    });
    let mut orders = Vec::with_capacity(jobs.len());
    for (at, job) in jobs.into_iter().enumerate() {
        complaints.within("jobs", at);
        let order = parse::batched_order(job, terms, trace.cloned(), &mut complaints)?;
        orders.extend(order);
    }
    complaints.result(Kind::InvalidRequest)?;
    Ok(orders)
}

/// All queues, each once: they must be the caller's to use, and known.
async fn check_queues<'o>(
    desk: &Desk,
    caller: &Caller,
    orders: &'o [Order],
) -> Result<Vec<&'o QueueName>, Problem> {
    let mut first_uses: BTreeMap<&QueueName, usize> = BTreeMap::new();
    for (at, order) in orders.iter().enumerate() {
        first_uses.entry(&order.queue).or_insert(at);
    }
    for queue in first_uses.keys() {
        caller.check_queue(queue)?;
    }
    let queues: Vec<&QueueName> = first_uses.keys().copied().collect();
    let mut complaints = Complaints::default();
    for queue in desk.queues.unknown(&queues).await? {
        complaints.within("jobs", first_uses[&queue]);
        complaints.add(
            "queue",
            format!("{queue} is not known: declare it with PUT /v1/queues/{queue}"),
        );
    }
    complaints.result(Kind::UnknownQueue)?;
    Ok(queues)
}

/// Answers with the jobs that were accepted before, as they are now.
async fn replayed(desk: &Desk, caller: &Caller, ids: &[JobId]) -> Result<Response, Problem> {
    let kept = desk.store.get(Some(&caller.tenant), ids, 0).await?;
    if kept.len() < ids.len() {
        return Err(submit::reused());
    }
    let mut jobs: Vec<JobObject> = kept
        .into_iter()
        .map(|kept| view::listed(desk, &view::shown(desk, kept).job))
        .collect();
    // The ids of a batch rise in its order.
    jobs.sort_by_key(|job| job.id);
    let mut response = respond::json(StatusCode::ACCEPTED, &Batch { jobs })?;
    let headers = response.headers_mut();
    headers.insert(key::REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
