//! Webhooks and the secrets that sign them.

use std::collections::HashSet;

use clerkwork_core::{JobId, UnixMs, WebhookSecret};
use uuid::Uuid;

use super::later::by_day;
use super::session::{Session, column, on_day};
use super::trouble::Trouble;
use crate::webhooks::{self, ChangeCells, DueRow, MOST_SECRETS, RETIRED};
use crate::{DueWebhook, WebhookChange};

const DUE: &str = "
    select job_id from webhooks where state = 0 and look_at <= $1
    order by look_at, job_id limit $2 for no key update skip locked";

const CLAIM: &str = "
    update webhooks_day as w set look_at = $1
    from unnest($2::uuid[]) as due (id) join jobs_day as j on j.id = due.id
    where w.job_id = due.id
    returning w.job_id, j.tenant, j.webhook, w.state, w.attempts, w.last_status, w.due_at, w.look_at";

pub(super) async fn claim(
    session: &mut Session,
    now: UnixMs,
    until: UnixMs,
    limit: u32,
) -> Result<Vec<DueWebhook>, Trouble> {
    session.begin().await?;
    let query = sqlx::query_scalar(DUE).bind(now.0).bind(i64::from(limit));
    let due: Vec<Uuid> = session.scalars(query).await?;
    let mut claimed = Vec::with_capacity(due.len());
    for (day, ids) in by_day(due, |id| *id) {
        let query = sqlx::query_as(on_day(CLAIM, day)).bind(until.0).bind(ids);
        let rows: Vec<DueRow> = session.rows(query).await?;
        for row in rows {
            claimed.push(row.due()?);
        }
    }
    session.commit().await?;
    claimed.sort_by_key(|due| due.webhook.next_attempt_at);
    Ok(claimed)
}

/// Rows are locked in the order of their ids, in which the changes come.
const KEEP: &str = "
    update webhooks_day as w set state = new.state, attempts = new.attempts,
        last_status = new.last_status, due_at = coalesce(new.due_at, w.due_at),
        look_at = new.look_at
    from unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::int[], $5::smallint[], $6::bigint[],
        $7::bigint[]) as new (id, claimed, state, attempts, last_status, due_at, look_at)
    where w.job_id = new.id and w.look_at = new.claimed and w.state = 0
    returning w.job_id";

pub(super) async fn keep(
    session: &mut Session,
    changes: &[WebhookChange],
) -> Result<Vec<bool>, Trouble> {
    session.begin().await?;
    let mut kept: HashSet<Uuid> = HashSet::with_capacity(changes.len());
    let cells: Vec<ChangeCells> = changes.iter().map(ChangeCells::of).collect();
    for (day, cells) in by_day(cells, |cells| cells.job) {
        if !super::days::exists(session, day).await? {
            continue;
        }
        let query = sqlx::query_scalar(on_day(KEEP, day))
            .bind(column(&cells, |cells| cells.job))
            .bind(column(&cells, |cells| cells.claimed))
            .bind(column(&cells, |cells| cells.state))
            .bind(column(&cells, |cells| cells.attempts))
            .bind(column(&cells, |cells| cells.last_status))
            .bind(column(&cells, |cells| cells.due_at))
            .bind(column(&cells, |cells| cells.look_at));
        let ids: Vec<Uuid> = session.scalars(query).await?;
        kept.extend(ids);
    }
    session.commit().await?;
    Ok(changes
        .iter()
        .map(|change| kept.remove(&change.job.uuid()))
        .collect())
}

/// A job that ended before there were webhooks, or under a clerk that knew none, has no row yet.
const REDELIVER: &str = "
    insert into webhooks_day as w (job_id, state, attempts, due_at, look_at)
    select j.id, 0, 0, $3, $3 from jobs_day as j
    where j.id = $1 and j.tenant = $2 and j.deleted_at is null and j.state >= 10
        and j.webhook is not null
    on conflict (job_id) do update set state = 0, attempts = 0, due_at = $3, look_at = $3
    returning w.job_id";

pub(super) async fn redeliver(
    session: &mut Session,
    tenant: &str,
    id: JobId,
    now: UnixMs,
) -> Result<bool, Trouble> {
    let query = sqlx::query_scalar(on_day(REDELIVER, id.day()))
        .bind(id.uuid())
        .bind(tenant)
        .bind(now.0);
    let done: Result<Vec<Uuid>, Trouble> = session.scalars(query).await;
    match done {
        Err(Trouble::NoDay) => Ok(false),
        done => Ok(!done?.is_empty()),
    }
}

pub(super) async fn secrets(
    session: &mut Session,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Trouble> {
    let known = signing(session, tenant, now).await?;
    if !known.is_empty() {
        return Ok(known);
    }
    make(session, tenant, now).await?;
    signing(session, tenant, now).await
}

/// The current secret first, which is never retired, then those that were retired within a day. None
/// if there is no current one.
async fn signing(
    session: &mut Session,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Trouble> {
    let text = "select secret from webhook_secrets
                where tenant = $1 and (retired_at is null or retired_at > $2)
                order by retired_at desc nulls first limit $3";
    let query = sqlx::query_scalar(text)
        .bind(tenant)
        .bind(now.before(RETIRED).0)
        .bind(MOST_SECRETS);
    Ok(webhooks::secrets(&session.scalars(query).await?)?)
}

/// Makes a current secret; whoever comes second finds it.
async fn make(session: &mut Session, tenant: &str, now: UnixMs) -> Result<(), Trouble> {
    let text = "insert into webhook_secrets (tenant, secret, made_at) values ($1, $2, $3)
                on conflict (tenant) where retired_at is null do nothing";
    let secret = WebhookSecret::random();
    let query = sqlx::query(text)
        .bind(tenant)
        .bind(secret.bytes().as_slice())
        .bind(now.0);
    session.execute(query).await?;
    Ok(())
}

pub(super) async fn rotate(
    session: &mut Session,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Trouble> {
    session.begin().await?;
    let text = "update webhook_secrets set retired_at = $2
                where tenant = $1 and retired_at is null";
    session
        .execute(sqlx::query(text).bind(tenant).bind(now.0))
        .await?;
    make(session, tenant, now).await?;
    let secrets = signing(session, tenant, now).await?;
    session.commit().await?;
    Ok(secrets)
}
