//! PostgreSQL: the record of a fleet.

mod accept;
mod api_keys;
mod apply;
mod days;
mod fleet;
mod keys;
mod later;
mod open;
mod pooled;
mod prune;
mod queues;
mod read;
mod record;
mod schema;
mod session;
mod store;
mod success;
mod trouble;
mod webhooks;
mod write;

use std::sync::Arc;

use crate::deadline::{self, UPKEEP};
use crate::{Error, Migrated, Store};

pub use open::Options;

/// Opens the record. Its schema must be the one of this program; days are made ahead.
pub async fn open(options: Options) -> Result<Arc<dyn Store>, Error> {
    let store = deadline::write_for(UPKEEP, store::PostgresStore::open(options)).await?;
    Ok(Arc::new(store))
}

/// Brings the schema up to date. Several may do this at once.
pub async fn migrate(options: &Options) -> Result<Migrated, Error> {
    deadline::write_for(UPKEEP, schema::migrate(options)).await
}

/// Whether the record can be opened, without opening it.
pub async fn check(options: &Options) -> Result<(), Error> {
    deadline::read(schema::check(options)).await
}

/// The plan of the statement that records successes, on today's tables, under a recorder's settings.
#[cfg(feature = "conformance")]
pub async fn plan_of_success(options: &Options) -> Result<String, Error> {
    deadline::read(success::plan(options)).await
}

/// The plan of the statement that looks for the jobs of a list, under the settings of a list.
#[cfg(feature = "conformance")]
pub async fn plan_of_list(options: &Options) -> Result<String, Error> {
    deadline::read(read::plan_of_look(options)).await
}
