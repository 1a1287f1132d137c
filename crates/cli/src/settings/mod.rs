//! The settings: flag, then environment, then `clerkwork.toml`, then default.
//!
//! A setting is one line of [`table`]. [`sources`] finds what was written, [`check`] reads it and
//! gathers all that is wrong, and one file per command makes its settings of it.

pub(crate) mod check;
pub(crate) mod clerk;
pub(crate) mod dev;
pub(crate) mod flags;
pub(crate) mod log;
pub(crate) mod sources;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod values;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

use std::path::Path;

use check::Check;
use flags::Flags;
use sources::Sources;

use crate::exit::Failure;

/// Flags of `clerkwork clerk`.
pub(crate) type ClerkFlags = Flags<{ table::audience::CLERK }>;
/// Flags of `clerkwork worker`.
pub(crate) type WorkerFlags = Flags<{ table::audience::WORKER }>;
/// Flags of `clerkwork dev`.
pub(crate) type DevFlags = Flags<{ table::audience::DEV }>;
/// Flags of the commands that see the store.
pub(crate) type StoreFlags = Flags<{ table::audience::STORE }>;
/// Flags of the commands that talk to a clerk.
pub(crate) type ClientFlags = Flags<{ table::audience::CLIENT }>;

/// The variables that may hold a secret.
pub(crate) fn secret_variables() -> impl Iterator<Item = String> {
    let secret = |setting: &&table::Setting| matches!(setting.kind, table::Kind::Secret(_));
    let names = |setting: &table::Setting| {
        let customary = setting.customary().map(str::to_owned);
        setting.variable().into_iter().chain(customary)
    };
    table::SETTINGS.iter().filter(secret).flat_map(names)
}

/// Reads the settings of one command with `read`.
pub(crate) fn load<const AUDIENCE: u8, T>(
    flags: Flags<AUDIENCE>,
    read: impl FnOnce(&mut Check) -> T,
) -> Result<T, Failure> {
    let mut check = Check::new(Sources::gather(flags)?);
    let settings = read(&mut check);
    check.finish(settings)
}

/// Whether a settings file with this text would do for a clerk.
///
/// # Errors
/// All that is wrong with it, in sentences.
pub fn check_file(text: &str) -> Result<(), String> {
    let read = || {
        let mut check = Check::new(Sources::file(Path::new(sources::FILE), text)?);
        let settings = clerk::ClerkSettings::read(&mut check);
        check.finish(settings)
    };
    match read() {
        Ok(_) => Ok(()),
        Err(Failure { sentence, .. }) => Err(sentence),
    }
}
