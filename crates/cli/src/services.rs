//! The store and the broker of a fleet: waited for at the start, and a wrong setting told at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clerkwork_broker::{self as broker, Broker, amqp};
use clerkwork_store::{self as store, Migrated, Store, postgres, sqlite};
use tokio::time::{Instant, sleep};

use crate::settings::values::StoreAddress;

/// The pause between two looks at a service that is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Why there is no store or no broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The store does not open.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// The broker does not take us.
    #[error("{0}; check --broker")]
    Broker(#[from] broker::Error),
    /// A service stayed away until the start gave up.
    #[error("{reason}: gave up after {}; is it running, and is --{setting} right? (--start-timeout)", humantime::format_duration(*.after))]
    Away {
        /// What the service, or the network, said last.
        reason: String,
        /// How long it was waited for.
        after: Duration,
        /// The setting that names it.
        setting: &'static str,
    },
}

/// Opens the store, and waits for it at most for `limit`.
pub(crate) async fn store(
    address: &StoreAddress,
    limit: Duration,
) -> Result<Arc<dyn Store>, ServiceError> {
    match address {
        StoreAddress::Sqlite(path) => Ok(sqlite::open(path).await?),
        StoreAddress::Postgres(url) => {
            let open = || postgres::open(postgres::Options::new(url));
            patiently("store", limit, open, is_away).await
        }
    }
}

/// Opens the store beside the servers that work on it, for keys and settings; waits for it at most for
/// `limit`.
pub(crate) async fn beside(
    address: &StoreAddress,
    limit: Duration,
) -> Result<Arc<dyn Store>, ServiceError> {
    match address {
        StoreAddress::Sqlite(path) => Ok(sqlite::beside(path).await?),
        StoreAddress::Postgres(url) => {
            let mut options = postgres::Options::new(url);
            options.is_for_jobs = false;
            patiently("store", limit, || postgres::open(options.clone()), is_away).await
        }
    }
}

/// Brings the store to this version, and waits for it at most for `limit`.
pub(crate) async fn migrate(
    address: &StoreAddress,
    limit: Duration,
) -> Result<Migrated, ServiceError> {
    match address {
        StoreAddress::Sqlite(path) => Ok(sqlite::migrate(path).await?),
        StoreAddress::Postgres(url) => {
            let options = postgres::Options::new(url);
            patiently("store", limit, || postgres::migrate(&options), is_away).await
        }
    }
}

/// Looks whether the store is at this version, and waits for it at most for `limit`.
pub(crate) async fn check(address: &StoreAddress, limit: Duration) -> Result<(), ServiceError> {
    match address {
        StoreAddress::Sqlite(path) => Ok(sqlite::check(path).await?),
        StoreAddress::Postgres(url) => {
            let options = postgres::Options::new(url);
            patiently("store", limit, || postgres::check(&options), is_away).await
        }
    }
}

fn is_away(error: &store::Error) -> bool {
    matches!(error, store::Error::Unavailable(_))
}

/// Connects to RabbitMQ, and waits for it at most for `limit`.
pub(crate) async fn broker(
    options: &amqp::Options,
    limit: Duration,
) -> Result<Arc<dyn Broker>, ServiceError> {
    let check = || amqp::check(options);
    let away = |error: &broker::Error| matches!(error, broker::Error::Away(_));
    patiently("broker", limit, check, away).await?;
    Ok(amqp::connect(options)?)
}

/// Tries again while the service is away.
async fn patiently<T, E, F>(
    setting: &'static str,
    limit: Duration,
    attempt: impl Fn() -> F,
    away: impl Fn(&E) -> bool,
) -> Result<T, ServiceError>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display + Into<ServiceError>,
{
    let begin = Instant::now();
    loop {
        let error = match attempt().await {
            Ok(service) => return Ok(service),
            Err(error) if away(&error) => error,
            Err(error) => return Err(error.into()),
        };
        if begin.elapsed() + PAUSE > limit {
            return Err(ServiceError::Away {
                reason: error.to_string(),
                after: limit,
                setting,
            });
        }
        tracing::warn!(%error, "waiting for the {setting}");
        sleep(PAUSE).await;
    }
}
