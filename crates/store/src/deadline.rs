//! How long anybody waits for a database.

use std::future::Future;
use std::time::Duration;

use crate::Error;

/// The longest wait for an answer to a question.
pub(crate) const READ: Duration = Duration::from_secs(5);
/// The longest wait for something to be written.
pub(crate) const WRITE: Duration = Duration::from_secs(10);
/// The longest wait for work that takes its time: migrations, pruning.
pub(crate) const UPKEEP: Duration = Duration::from_secs(600);

/// Reads within [`READ`].
pub(crate) async fn read<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(READ, work).await.unwrap_or_else(|_| {
        Err(Error::Unavailable(format!(
            "it did not answer within {} s",
            READ.as_secs()
        )))
    })
}

/// Writes within [`WRITE`]; whether it is done is unknown after that.
pub(crate) async fn write<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    write_for(WRITE, work).await
}

/// Writes within `limit`.
pub(crate) async fn write_for<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Unknown(format!(
            "it did not answer within {} s",
            limit.as_secs()
        )))
    })
}
