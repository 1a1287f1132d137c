//! Webhooks and the secrets that sign them. The trigger `jobs_webhook` writes their rows.

use std::collections::HashSet;

use clerkwork_core::{JobId, UnixMs, WebhookSecret};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::batch::{Batch, Cells, MOST};
use super::failed;
use super::hand::Inner;
use crate::webhooks::{self, ChangeCells, DueRow, MOST_SECRETS, RETIRED};
use crate::{DueWebhook, Error, WebhookChange};

static CLAIM: Batch = Batch::new(
    "with told (until, now) as (values (?, ?))
     update webhooks set look_at = told.until from told, jobs,",
    1,
    "as due where webhooks.job_id = due.column1 and jobs.id = due.column1
         and webhooks.state = 0 and webhooks.look_at <= told.now
     returning job_id, (select tenant from jobs where id = job_id) as tenant,
         (select webhook from jobs where id = job_id) as webhook, state, attempts, last_status,
         due_at, look_at",
);

pub(super) async fn claim(
    inner: &Inner,
    now: UnixMs,
    until: UnixMs,
    limit: u32,
) -> Result<Vec<DueWebhook>, Error> {
    // Mostly there is none, and looking first spares the one hand that writes.
    let mut reading = inner.read().await?;
    let text = "select job_id from webhooks where state = 0 and look_at <= ?
                order by look_at, job_id limit ?";
    let due: Vec<Uuid> = sqlx::query_scalar(text)
        .bind(now.0)
        .bind(limit)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut writing = inner.begin().await?;
    let mut rows: Vec<DueRow> = Vec::with_capacity(due.len());
    for chunk in due.chunks(MOST) {
        let mut cells = Cells::default();
        cells.put(until.0)?;
        cells.put(now.0)?;
        for id in chunk {
            cells.put(*id)?;
        }
        rows.extend(
            CLAIM
                .run::<DueRow>(&mut writing, chunk.len(), cells)
                .await?,
        );
    }
    writing.commit().await?;
    let claimed: Result<Vec<DueWebhook>, Error> = rows.into_iter().map(DueRow::due).collect();
    let mut claimed = claimed?;
    claimed.sort_by_key(|due| due.webhook.next_attempt_at);
    Ok(claimed)
}

static KEEP: Batch = Batch::new(
    "update webhooks set state = new.column3, attempts = new.column4, last_status = new.column5,
         due_at = coalesce(new.column6, due_at), look_at = new.column7
     from",
    7,
    "as new where webhooks.job_id = new.column1 and webhooks.look_at = new.column2
         and webhooks.state = 0
     returning job_id",
);

pub(super) async fn keep(inner: &Inner, changes: &[WebhookChange]) -> Result<Vec<bool>, Error> {
    let mut writing = inner.begin().await?;
    let mut kept: HashSet<Uuid> = HashSet::with_capacity(changes.len());
    for chunk in changes.chunks(MOST) {
        let mut cells = Cells::default();
        for change in chunk {
            let change = ChangeCells::of(change);
            cells.put(change.job)?;
            cells.put(change.claimed)?;
            cells.put(change.state)?;
            cells.put(change.attempts)?;
            cells.put(change.last_status)?;
            cells.put(change.due_at)?;
            cells.put(change.look_at)?;
        }
        let rows: Vec<(Uuid,)> = KEEP.run(&mut writing, chunk.len(), cells).await?;
        kept.extend(rows.into_iter().map(|(id,)| id));
    }
    writing.commit().await?;
    Ok(changes
        .iter()
        .map(|change| kept.remove(&change.job.uuid()))
        .collect())
}

pub(super) async fn redeliver(
    inner: &Inner,
    tenant: &str,
    id: JobId,
    now: UnixMs,
) -> Result<bool, Error> {
    let mut writing = inner.write().await?;
    let text = "insert into webhooks (job_id, state, attempts, due_at, look_at)
                select id, 0, 0, ?3, ?3 from jobs
                where id = ?1 and tenant = ?2 and deleted_at is null and state >= 10
                    and webhook is not null
                on conflict (job_id) do update
                    set state = 0, attempts = 0, due_at = ?3, look_at = ?3";
    let done = sqlx::query(text)
        .bind(id.uuid())
        .bind(tenant.to_owned())
        .bind(now.0)
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    Ok(done.rows_affected() > 0)
}

pub(super) async fn secrets(
    inner: &Inner,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Error> {
    let mut reading = inner.read().await?;
    let known = signing(&mut reading, tenant, now).await?;
    reading.done();
    if !known.is_empty() {
        return Ok(known);
    }
    let mut writing = inner.begin().await?;
    make(&mut writing, tenant, now).await?;
    let made = signing(&mut writing, tenant, now).await?;
    writing.commit().await?;
    Ok(made)
}

/// The current secret first, which is never retired, then those that were retired within a day. None
/// if there is no current one.
async fn signing(
    conn: &mut SqliteConnection,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Error> {
    let text = "select secret from webhook_secrets
                where tenant = ? and (retired_at is null or retired_at > ?)
                order by retired_at desc nulls first limit ?";
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(text)
        .bind(tenant.to_owned())
        .bind(now.before(RETIRED).0)
        .bind(MOST_SECRETS)
        .fetch_all(conn)
        .await
        .map_err(failed)?;
    webhooks::secrets(&rows)
}

/// Makes a current secret; whoever comes second finds it.
async fn make(conn: &mut SqliteConnection, tenant: &str, now: UnixMs) -> Result<(), Error> {
    sqlx::query(
        "insert into webhook_secrets (tenant, secret, made_at) values (?, ?, ?)
         on conflict do nothing",
    )
    .bind(tenant.to_owned())
    .bind(WebhookSecret::random().bytes().to_vec())
    .bind(now.0)
    .execute(conn)
    .await
    .map_err(failed)?;
    Ok(())
}

pub(super) async fn rotate(
    inner: &Inner,
    tenant: &str,
    now: UnixMs,
) -> Result<Vec<WebhookSecret>, Error> {
    let mut writing = inner.begin().await?;
    sqlx::query(
        "update webhook_secrets set retired_at = ? where tenant = ? and retired_at is null",
    )
    .bind(now.0)
    .bind(tenant.to_owned())
    .execute(&mut *writing)
    .await
    .map_err(failed)?;
    make(&mut writing, tenant, now).await?;
    let secrets = signing(&mut writing, tenant, now).await?;
    writing.commit().await?;
    Ok(secrets)
}
