//! Whether a schema fits this program.

use sqlx::SqlStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::Error;

/// The migrations of a database, in order: what each is called, and its text. Numbers begin at 1. Who runs them
/// sees to it that nobody else does at the same time.
pub(crate) fn migrations(texts: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = (1..).zip(texts).map(|(version, (name, text))| {
        let text = SqlStr::from_static(text);
        Migration::new(version, (*name).into(), MigrationType::Simple, text, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_locking(false);
    migrator
}

/// The schema's version that this program needs.
pub(crate) fn needed(migrations: &Migrator) -> i64 {
    migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// Refuses a schema that is newer than this program.
pub(crate) fn refuse_newer(migrations: &Migrator, applied: &[i64]) -> Result<(), Error> {
    let needed = needed(migrations);
    let found = applied.iter().copied().max().unwrap_or(0);
    if found > needed {
        Err(Error::Newer { found, needed })
    } else {
        Ok(())
    }
}

/// Refuses a schema that is not the one of this program.
pub(crate) fn refuse_other(migrations: &Migrator, applied: &[i64]) -> Result<(), Error> {
    refuse_newer(migrations, applied)?;
    let needed = needed(migrations);
    let found = applied.iter().copied().max().unwrap_or(0);
    if found < needed {
        Err(Error::Older { found, needed })
    } else {
        Ok(())
    }
}

/// Why the schema could not be brought up to date.
pub(crate) fn failed(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            Error::Unavailable(format!(
                "the schema could not be brought up to date: {error}"
            ))
        }
        other => Error::Setting(format!(
            "the schema of the store was changed by something else than clerkwork: {other}"
        )),
    }
}
