//! What went wrong with a statement, and what that means.

use clerkwork_faults::{Defect, has};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::Error;

/// Why a statement did not do its work.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody was in the way: the whole batch may be tried again.
    Busy(String),
    /// The data of some row was refused.
    Data(String),
    /// A day's tables are not there.
    NoDay,
    /// Anything else: it is over.
    Over(Error),
}

impl Trouble {
    /// Judges the error of a statement. `commits` says whether the statement, if it was done,
    /// would also have been committed.
    #[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
    pub(super) fn of(error: sqlx::Error, commits: bool) -> Self {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(refusal) => Self::refused(refusal.as_ref(), commits),
            sqlx::Error::ColumnDecode { index, source } => Self::Over(Error::Corrupt {
                table: "jobs",
                detail: format!("column {index}: {source}"),
            }),
            sqlx::Error::Encode(_) => Self::Data(text),
            _ if commits => Self::Over(Error::Unknown(text)),
            _ => Self::Over(Error::Unavailable(text)),
        }
    }

    fn refused(refusal: &dyn DatabaseError, commits: bool) -> Self {
        let text = refusal.message().to_owned();
        let code = refusal.code().unwrap_or_default();
        // The server or this session goes: it may have committed before it said so. One that was idle for too long had
        // nothing under way.
        if commits && is_fatal(refusal) && code != "57P05" {
            return Self::Over(Error::Unknown(text));
        }
        match code.as_ref() {
            "40001" | "40P01" | "55P03" => Self::Busy(text),
            "42P01" => Self::NoDay,
            code if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => {
                Self::Data(text)
            }
            _ => Self::Over(Error::Unavailable(text)),
        }
    }

    /// The error, where nothing can be done about it.
    pub(super) fn error(self) -> Error {
        match self {
            Self::Busy(text) => Error::Unavailable(format!("too busy: {text}")),
            Self::Data(text) if !has(Defect::RefusedIsAway) => Error::Refused(text),
            Self::Data(text) => Error::Unavailable(text),
            Self::NoDay => Error::Setting(
                "a table is missing: was the schema changed by something else than clerkwork?"
                    .to_owned(),
            ),
            Self::Over(error) => error,
        }
    }
}

/// Whether the session ends with this error.
fn is_fatal(refusal: &dyn DatabaseError) -> bool {
    refusal
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Over(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        trouble.error()
    }
}
