//! The settings as flags of a command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint, value_parser};

use super::table::{SETTINGS, Setting};

/// The settings that were given as flags to a command for `AUDIENCE`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags<const AUDIENCE: u8> {
    /// By name, as they were written.
    pub(crate) values: BTreeMap<&'static str, Vec<String>>,
    /// The settings file, if one was named.
    pub(crate) config: Option<PathBuf>,
}

fn of(audience: u8) -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .filter(move |setting| setting.audience & audience != 0)
}

impl<const AUDIENCE: u8> Args for Flags<AUDIENCE> {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .value_hint(ValueHint::FilePath)
                    .help(
                        "The settings file [default: clerkwork.toml, if it is there]. Each setting is \
                         a key of it (log-format) and an environment variable \
                         (CLERKWORK_LOG_FORMAT); flags come first, then the environment, then \
                         the file",
                    )
                    .help_heading("Settings"),
            )
            .args(of(AUDIENCE).map(Setting::flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const AUDIENCE: u8> FromArgMatches for Flags<AUDIENCE> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        for setting in of(AUDIENCE) {
            if let Some(values) = matches.get_many::<String>(setting.name) {
                self.values.insert(setting.name, values.cloned().collect());
            }
        }
        Ok(())
    }
}
