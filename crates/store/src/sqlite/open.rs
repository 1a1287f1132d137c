//! Opening a database file: one process, one schema version.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::failed;
use super::hand::Inner;
use super::place::{Place, beside as beside_it};
use crate::{Error, Migrated, version};

/// The schema, version by version.
const MIGRATIONS: [(&str, &str); 5] = [
    (
        "jobs",
        include_str!("../../migrations/sqlite/0001_jobs.sql"),
    ),
    (
        "api_keys",
        include_str!("../../migrations/sqlite/0002_api_keys.sql"),
    ),
    (
        "webhooks",
        include_str!("../../migrations/sqlite/0003_webhooks.sql"),
    ),
    (
        "cancels_and_failures",
        include_str!("../../migrations/sqlite/0004_cancels_and_failures.sql"),
    ),
    (
        "readable_failures",
        include_str!("../../migrations/sqlite/0005_readable_failures.sql"),
    ),
];

/// Opens the database of this file, makes it if it is missing, and brings its schema up to date.
pub(super) async fn file(path: PathBuf) -> Result<Arc<Inner>, Error> {
    let lock = lock_alone(&path)?;
    let options = options().filename(&path);
    let conn = connect(&options, &path.display().to_string()).await?;
    let place = Place::new(&path, lock);
    Ok(Inner::new(conn, Some(options), Some(place)))
}

/// Brings the schema of this file up to date.
pub(super) async fn migrate_file(path: PathBuf) -> Result<Migrated, Error> {
    let _lock = lock_alone(&path)?;
    let options = options().filename(&path);
    let mut conn = open(&options, &path.display().to_string()).await?;
    let migrated = migrate(&mut conn).await?;
    conn.close().await.map_err(failed)?;
    Ok(migrated)
}

/// Opens the database of this file whether or not another process has it open.
pub(super) async fn beside(path: PathBuf) -> Result<Arc<Inner>, Error> {
    let name = path.display().to_string();
    let options = options().filename(&path);
    let conn = match lock(&path) {
        // The lock is given back before the work: who starts meanwhile finds the file free.
        Ok(_lock) => connect(&options, &name).await?,
        Err(Locked::Elsewhere(_)) => {
            let mut conn = open(&options, &name).await?;
            let applied = applied(&mut conn).await?;
            version::refuse_other(&version::migrations(&MIGRATIONS), &applied)?;
            conn
        }
        Err(Locked::Failed(error)) => return Err(error),
    };
    Ok(Inner::new(conn, Some(options), None))
}

/// Opens a database that lives as long as it is open.
pub(super) async fn memory() -> Result<Arc<Inner>, Error> {
    let options = options().in_memory(true);
    let conn = connect(&options, "memory").await?;
    Ok(Inner::new(conn, None, None))
}

/// The triggers of [`memory_refusing`].
#[cfg(feature = "conformance")]
const REFUSE: &str = "
    create trigger no_end before update on jobs
    when instr(new.output, cast('unstorable' as blob)) or instr(new.failure, 'unstorable')
    begin select raise(abort, 'unstorable'); end;
    create trigger no_attempt before insert on attempts when instr(new.failure, 'unstorable')
    begin select raise(abort, 'unstorable'); end";

/// The same, with triggers that refuse what a worker answered where the word `unstorable` is in it.
#[cfg(feature = "conformance")]
pub(super) async fn memory_refusing() -> Result<Arc<Inner>, Error> {
    let options = options().in_memory(true);
    let mut conn = connect(&options, "memory").await?;
    sqlx::Executor::execute(&mut conn, REFUSE)
        .await
        .map_err(failed)?;
    Ok(Inner::new(conn, None, None))
}

async fn connect(options: &SqliteConnectOptions, name: &str) -> Result<SqliteConnection, Error> {
    let mut conn = open(options, name).await?;
    migrate(&mut conn).await?;
    Ok(conn)
}

async fn open(options: &SqliteConnectOptions, name: &str) -> Result<SqliteConnection, Error> {
    let opened = options.connect().await;
    opened
        .map_err(|error| Error::Setting(format!("{name} cannot be opened as a database: {error}")))
}

/// Tells whether the schema of this file is the one of this program; another process may have the
/// file open.
pub(super) async fn check(path: PathBuf) -> Result<(), Error> {
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .disable_statement_logging();
    let mut conn = open(&options, &path.display().to_string()).await?;
    let applied = applied(&mut conn).await?;
    version::refuse_other(&version::migrations(&MIGRATIONS), &applied)
}

async fn migrate(conn: &mut SqliteConnection) -> Result<Migrated, Error> {
    let applied = applied(conn).await?;
    let migrations = version::migrations(&MIGRATIONS);
    version::refuse_newer(&migrations, &applied)?;
    migrations
        .run_direct(None, conn, false)
        .await
        .map_err(version::failed)?;
    Ok(Migrated::of(&migrations, &applied))
}

/// The versions that the schema has been through.
async fn applied(conn: &mut SqliteConnection) -> Result<Vec<i64>, Error> {
    let found = sqlx::query_scalar(
        "select count(*) from sqlite_master where type = 'table' and name = '_sqlx_migrations'",
    );
    match found.fetch_one(&mut *conn).await.map_err(failed)? {
        0i64 => Ok(Vec::new()),
        _ => sqlx::query_scalar("select version from _sqlx_migrations where success")
            .fetch_all(&mut *conn)
            .await
            .map_err(failed),
    }
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // 32 MiB of pages; a checkpoint about every 16 MiB.
        .pragma("cache_size", "-32768")
        .pragma("wal_autocheckpoint", "4000")
        .busy_timeout(Duration::from_secs(5))
        // A batch's rows cross to us in one go.
        .row_buffer_size(1_024)
        .statement_cache_capacity(400)
        .thread_name(|id| format!("sqlite-{id}"))
        .disable_statement_logging()
}

/// The reason why the file is not ours.
enum Locked {
    /// Another process has it.
    Elsewhere(Error),
    /// Nobody could have it.
    Failed(Error),
}

/// Locks a database file; fails where another process has it open.
fn lock_alone(path: &Path) -> Result<File, Error> {
    lock(path).map_err(|(Locked::Elsewhere(error) | Locked::Failed(error))| error)
}

/// Keeps other processes away: SQLite lets several write one file, but only one of them would wake
/// who waits for a job.
fn lock(path: &Path) -> Result<File, Locked> {
    let name = beside_it(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| {
            let detail = format!("{} cannot be made: {error}", name.display());
            Locked::Failed(Error::Setting(detail))
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Locked::Elsewhere(Error::Setting(format!(
            "{} is in use by another process: stop that one or choose another file",
            path.display()
        )))),
        Err(TryLockError::Error(error)) => Err(Locked::Failed(Error::Setting(format!(
            "{} cannot be locked: {error}",
            name.display()
        )))),
    }
}
