//! The store as commands work on it beside running servers.

use std::sync::Arc;

use clap::Args;
use clerkwork_store::Store;

use crate::embedded::make_folder_of;
use crate::exit::Failure;
use crate::settings::store::StoreSettings;
use crate::settings::values::StoreAddress;
use crate::settings::{self, StoreFlags};
use crate::terminal::{Colour, Format, Terminal};
use crate::{logging, services};

/// Where the store is, and how to speak.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    settings: StoreFlags,
    /// Form of the data on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Place {
    /// Refuses to keep silent where what is not printed is lost.
    pub(super) fn must_print(&self) -> Result<(), Failure> {
        match self.output {
            Format::None => Err(Failure::usage(
                "-o none would lose the key, which is shown only once: choose another form",
            )),
            Format::Text | Format::Json | Format::Jsonl => Ok(()),
        }
    }

    /// Opens the store; one in a file is made where it is `new`.
    pub(super) async fn open(self, new: bool) -> Result<(Arc<dyn Store>, Terminal), Failure> {
        let settings = settings::load(self.settings, StoreSettings::read)?;
        logging::start(settings.log);
        let (store, limit) = (settings.store, settings.start_timeout);
        if let StoreAddress::Sqlite(file) = &store {
            if new {
                make_folder_of(file).map_err(Failure::of)?;
            } else if !file.exists() {
                let sentence = format!("there is no store at {}; check --store", file.display());
                return Err(Failure::error(sentence));
            }
        }
        let store = services::beside(&store, limit).await.map_err(Failure::of)?;
        let terminal = Terminal {
            format: self.output,
            colour: Colour::Auto,
            progress: true,
            yes: false,
        };
        Ok((store, terminal))
    }
}
