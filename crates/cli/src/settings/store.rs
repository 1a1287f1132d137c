//! The settings of commands that work on the store alone.

use std::time::Duration;

use super::check::Check;
use super::log::LogSettings;
use super::values::StoreAddress;

/// What such a command needs to know.
#[derive(Debug)]
pub(crate) struct StoreSettings {
    pub(crate) log: LogSettings,
    pub(crate) store: StoreAddress,
    pub(crate) start_timeout: Duration,
}

impl StoreSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        Self {
            log: LogSettings::read(check),
            store: read(check),
            start_timeout: check.duration("start-timeout"),
        }
    }
}

/// The record; needed by everything that sees it. Where it is not set, `check` has been told, and what
/// is returned is not used.
pub(super) fn read(check: &mut Check) -> StoreAddress {
    let before = check.errors();
    let store = check.parse("store", StoreAddress::parse);
    if store.is_none() && check.errors() == before {
        check.wrong(
            "--store is not set: give postgres://user:password@host/database or sqlite:FILE",
        );
    }
    store.unwrap_or(StoreAddress::Sqlite("".into()))
}
