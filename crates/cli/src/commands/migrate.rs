//! `migrate`: brings the store to this version.

use clap::Args;
use clerkwork_store::Migrated;

use crate::exit::{Exit, Failure};
use crate::settings::store::StoreSettings;
use crate::settings::{self, StoreFlags};
use crate::{logging, services, terminal};

/// Bring the store to this version
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  CLERKWORK_STORE_FILE=store.url clerkwork migrate
  clerkwork migrate --check --store sqlite:clerkwork-data/clerkwork.db")]
pub(crate) struct Migrate {
    /// Change nothing; fail if the store is at another version
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
        terminal::note(&if self.check {
            services::check(&store, limit).await.map_err(Failure::of)?;
            "the store is at this version".to_owned()
        } else {
            let migrated = services::migrate(&store, limit).await;
            in_words(migrated.map_err(Failure::of)?)
        });
        Ok(Exit::Ok)
    }
}

fn in_words(migrated: Migrated) -> String {
    let Migrated { from, to } = migrated;
    match from {
        0 => format!("the store was empty and is at version {to} now"),
        from if from == to => format!("the store was at version {to} already: nothing was done"),
        from => format!("the store was at version {from} and is at version {to} now"),
    }
}
