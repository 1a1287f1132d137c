//! API keys.

use clerkwork_core::{KeyId, UnixMs};

use super::session::{Session, column};
use super::trouble::Trouble;
use crate::KnownKey;
use crate::api_keys::{KeyCells, queues_cell};

pub(super) async fn add(session: &mut Session, key: &KnownKey) -> Result<bool, Trouble> {
    let text = "insert into api_keys (id, hash, tenant, role, queues, note, created_at, revoked_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing";
    let query = sqlx::query(text)
        .bind(key.id.as_str())
        .bind(key.hash.as_slice())
        .bind(key.tenant.text().as_ref())
        .bind(key.role.as_str())
        .bind(queues_cell(&key.queues)?)
        .bind(key.note.as_deref())
        .bind(key.created_at.0)
        .bind(key.revoked_at.map(|at| at.0));
    let done = session.execute(query).await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn known(
    session: &mut Session,
    ids: Option<&[KeyId]>,
) -> Result<Vec<KnownKey>, Trouble> {
    let text = "select id, hash, tenant, role, queues, note, created_at, revoked_at from api_keys
                where $1::text[] is null or id = any($1) order by created_at, id";
    let ids = ids.map(|ids| column(ids, KeyId::as_str));
    let rows: Vec<KeyCells> = session.rows(sqlx::query_as(text).bind(ids)).await?;
    Ok(rows
        .into_iter()
        .map(KeyCells::key)
        .collect::<Result<_, _>>()?)
}

pub(super) async fn any(session: &mut Session) -> Result<bool, Trouble> {
    let text = "select exists (select from api_keys)";
    let any = session.scalars(sqlx::query_scalar(text)).await?;
    Ok(any.contains(&true))
}

pub(super) async fn revoke(session: &mut Session, id: KeyId, now: UnixMs) -> Result<bool, Trouble> {
    let text = "update api_keys set revoked_at = coalesce(revoked_at, $1) where id = $2";
    let query = sqlx::query(text).bind(now.0).bind(id.as_str());
    let done = session.execute(query).await?;
    Ok(done.rows_affected() == 1)
}
