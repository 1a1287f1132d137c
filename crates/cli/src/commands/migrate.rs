//! `migrate`: brings the store to this version.

use clap::Args;
use std::time::Duration;

use crate::exit::{Exit, Failure};
use crate::settings::store::StoreSettings;
use crate::settings::values::StoreAddress;
use crate::settings::{self, StoreFlags};
use crate::{logging, services, terminal};

/// Bring the store to this version
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Only tell whether it is at this version
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: StoreFlags,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let settings = settings::load(self.settings, StoreSettings::read)?;
        logging::start(settings.log);
        let (store, limit) = (settings.store, settings.start_timeout);
        act(&store, limit, self.check).await.map_err(Failure::of)?;
        terminal::note("the store is at this version");
        Ok(Exit::Ok)
    }
}

async fn act(
    store: &StoreAddress,
    limit: Duration,
    check: bool,
) -> Result<(), services::ServiceError> {
    if check {
        services::check(store, limit).await
    } else {
        services::migrate(store, limit).await
    }
}
