//! API keys.

use clerkwork_core::{KeyId, UnixMs};

use super::failed;
use super::hand::Inner;
use crate::api_keys::{KeyCells, queues_cell};
use crate::{Error, KnownKey};

pub(super) async fn add(inner: &Inner, key: &KnownKey) -> Result<bool, Error> {
    let queues = queues_cell(&key.queues)?;
    let mut writing = inner.write().await?;
    let text = "insert into api_keys (id, hash, tenant, role, queues, note, created_at, revoked_at)
                values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing";
    let done = sqlx::query(text)
        .bind(key.id.as_str().to_owned())
        .bind(key.hash.to_vec())
        .bind(key.tenant.to_string())
        .bind(key.role.as_str())
        .bind(queues)
        .bind(key.note.clone())
        .bind(key.created_at.0)
        .bind(key.revoked_at.map(|at| at.0))
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    Ok(done.rows_affected() == 1)
}

pub(super) async fn known(inner: &Inner, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error> {
    let ids = ids.map(serde_json::to_string).transpose();
    let ids = ids.map_err(|error| Error::Setting(error.to_string()))?;
    let mut reading = inner.read().await?;
    let text = "select id, hash, tenant, role, queues, note, created_at, revoked_at from api_keys
                where ?1 is null or id in (select value from json_each(?1))
                order by created_at, id";
    let rows: Vec<KeyCells> = sqlx::query_as(text)
        .bind(ids)
        .fetch_all(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    rows.into_iter().map(KeyCells::key).collect()
}

pub(super) async fn any(inner: &Inner) -> Result<bool, Error> {
    let mut reading = inner.read().await?;
    let any: bool = sqlx::query_scalar("select exists (select 1 from api_keys)")
        .fetch_one(&mut *reading)
        .await
        .map_err(failed)?;
    reading.done();
    Ok(any)
}

pub(super) async fn revoke(inner: &Inner, id: KeyId, now: UnixMs) -> Result<bool, Error> {
    let mut writing = inner.write().await?;
    let text = "update api_keys set revoked_at = coalesce(revoked_at, ?) where id = ?";
    let done = sqlx::query(text)
        .bind(now.0)
        .bind(id.as_str().to_owned())
        .execute(&mut *writing)
        .await
        .map_err(failed)?;
    writing.done();
    Ok(done.rows_affected() == 1)
}
