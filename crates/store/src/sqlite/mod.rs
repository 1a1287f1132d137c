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

use clerkwork_faults::{Defect, has};
use sqlx::error::DatabaseError;

use crate::deadline::{self, UPKEEP};
use crate::{Error, Migrated, Store};
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

/// Opens a database in memory that refuses outputs and failures with the word `unstorable` in them.
#[cfg(feature = "conformance")]
pub async fn memory_refusing() -> Result<Arc<dyn Store>, Error> {
    let inner = deadline::write(open::memory_refusing()).await?;
    Ok(Arc::new(SqliteStore::new(inner)))
}

/// Opens the database in this file for a command that works beside the process that has it open, if
/// one has: for keys and settings, never for jobs. A file that nobody has open is made and brought up
/// to date first.
pub async fn beside(path: impl AsRef<Path>) -> Result<Arc<dyn Store>, Error> {
    let inner = deadline::write_for(UPKEEP, open::beside(path.as_ref().to_owned())).await?;
    Ok(Arc::new(SqliteStore::new(inner)))
}

/// Brings the schema of the database in this file up to date; makes the file if it is missing. No other
/// process may have it open.
pub async fn migrate(path: impl AsRef<Path>) -> Result<Migrated, Error> {
    deadline::write_for(UPKEEP, open::migrate_file(path.as_ref().to_owned())).await
}

/// Whether the database in this file has the schema of this program, without changing it; another
/// process may have it open.
pub async fn check(path: impl AsRef<Path>) -> Result<(), Error> {
    deadline::read(open::check(path.as_ref().to_owned())).await
}

/// The code of SQLite for a disk without room.
const FULL: &str = "13";
/// The codes of SQLite for data that it refuses: too large, against a constraint, of another type. What more it says
/// stands in higher bits.
const REFUSED: [u32; 3] = [18, 19, 20];

/// What an error of the database means for who asked.
#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::ColumnDecode { index, source } => Error::Corrupt {
            table: "jobs",
            detail: format!("column {index}: {source}"),
        },
        sqlx::Error::Database(refusal) if is_refused(refusal.as_ref()) => {
            Error::Refused(refusal.message().to_owned())
        }
        _ => Error::Unavailable(error.to_string()),
    }
}

/// Whether the database refuses the data, and would refuse it again.
fn is_refused(refusal: &dyn DatabaseError) -> bool {
    let code = refusal.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| REFUSED.contains(&(code & 0xff)) && !has(Defect::RefusedIsAway))
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
