//! What can go wrong with a store.

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done: the database cannot be reached, or refused for now.
    #[error("the store is away: {0}")]
    Unavailable(String),
    /// The database did not answer in time, or went while it committed: it may or may not be done.
    #[error("the store did not answer: whether it was done is unknown: {0}")]
    Unknown(String),
    /// Nothing was done: the database refuses the data of a row, and would refuse it again.
    #[error("the store refuses the data: {0}")]
    Refused(String),
    /// This incarnation of the clerk was taken over.
    #[error("this clerk was taken over")]
    Fenced,
    /// A row that is not as it should be.
    #[error("the store is corrupt: {table}: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong, and with which row.
        detail: String,
    },
    /// The schema is older than this program.
    #[error(
        "the store is at version {found} and this program needs {needed}: run `clerkwork migrate`"
    )]
    Older {
        /// The store's version; 0 if it is empty.
        found: i64,
        /// This program's.
        needed: i64,
    },
    /// The schema is newer than this program.
    #[error(
        "the store is at version {found}, newer than this program ({needed}): run a newer clerkwork"
    )]
    Newer {
        /// The store's version.
        found: i64,
        /// This program's.
        needed: i64,
    },
    /// The address or the settings of the store do not fit; says what to do.
    #[error("{0}")]
    Setting(String),
}
