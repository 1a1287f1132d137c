//! The versions of a schema, and those that this program takes.

use sqlx::SqlStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::Error;

/// The versions of a schema before and after a migration; 0 stands for an empty database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found.
    pub from: i64,
    /// The version that it has now.
    pub to: i64,
}

impl Migrated {
    /// The versions of a schema that had these applied, and has all others now.
    pub(crate) fn of(migrations: &Migrator, applied: &[i64]) -> Self {
        Self {
            from: newest(applied),
            to: needed(migrations),
        }
    }
}

fn newest(applied: &[i64]) -> i64 {
    applied.iter().copied().max().unwrap_or(0)
}

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
    let (found, needed) = (newest(applied), needed(migrations));
    if found > needed {
        Err(Error::Newer { found, needed })
    } else {
        Ok(())
    }
}

/// Refuses a schema that is not the one of this program.
pub(crate) fn refuse_other(migrations: &Migrator, applied: &[i64]) -> Result<(), Error> {
    refuse_newer(migrations, applied)?;
    let (found, needed) = (newest(applied), needed(migrations));
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
