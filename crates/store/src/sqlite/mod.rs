//! SQLite: the record of one process, in a file or in memory.

mod accept;
mod api_keys;
mod apply;
mod batch;
mod fleet;
mod hand;
mod keys;
mod later;
mod open;
mod place;
mod prune;
mod queues;
mod read;
mod reading;
mod record;
#[cfg(test)]
mod sharing;
mod store;
mod webhooks;
mod write;

use std::path::Path;
use std::sync::Arc;

use sqlx::error::DatabaseError;

use crate::deadline::{self, UPKEEP};
use crate::{Error, Store};
use store::SqliteStore;

/// Opens the database in this file; makes it if it is missing and brings its schema up to date.
/// Fails if another process has it open.
pub async fn open(path: impl AsRef<Path>) -> Result<Arc<dyn Store>, Error> {
    let inner = deadline::write_for(UPKEEP, open::file(path.as_ref().to_owned())).await?;
    Ok(Arc::new(SqliteStore::new(inner)))
}

/// Opens a database in memory, which is gone when it is dropped.
pub async fn memory() -> Result<Arc<dyn Store>, Error> {
    let inner = deadline::write(open::memory()).await?;
    Ok(Arc::new(SqliteStore::new(inner)))
}

/// Opens the database in this file for a command that works beside the process that has it open, if
/// one has: for keys and settings, never for jobs. A file that nobody has open is made and brought up
/// to date first.
pub async fn beside(path: impl AsRef<Path>) -> Result<Arc<dyn Store>, Error> {
    let inner = deadline::write_for(UPKEEP, open::beside(path.as_ref().to_owned())).await?;
    Ok(Arc::new(SqliteStore::new(inner)))
}

/// Brings the schema of the database in this file up to date; makes the file if it is missing.
pub async fn migrate(path: impl AsRef<Path>) -> Result<(), Error> {
    deadline::write_for(UPKEEP, open::file(path.as_ref().to_owned()))
        .await
        .map(drop)
}

/// Whether the database in this file has the schema of this program, without changing it; another
/// process may have it open.
pub async fn check(path: impl AsRef<Path>) -> Result<(), Error> {
    deadline::read(open::check(path.as_ref().to_owned())).await
}

/// The code of SQLite for a disk without room.
const FULL: &str = "13";

/// What an error of the database means for who asked.
#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::ColumnDecode { index, source } => Error::Corrupt {
            table: "jobs",
            detail: format!("column {index}: {source}"),
        },
        _ => Error::Unavailable(error.to_string()),
    }
}

/// What an error of a commit means. Of one that found no room on the disk it is certain that nothing is there.
#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn uncommitted(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.is_some_and(|code| code == FULL) {
        return Error::Unavailable(error.to_string());
    }
    Error::Unknown(error.to_string())
}
