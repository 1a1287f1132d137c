//! The settings of the log.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::check::Check;

/// What is logged, and in which form.
#[derive(Debug, Default)]
pub(crate) struct LogSettings {
    pub(crate) filter: EnvFilter,
    pub(crate) json: bool,
}

impl LogSettings {
    pub(crate) fn read(check: &mut Check) -> Self {
        let filter = check.parse("log", |text| {
            EnvFilter::builder().parse(text).map_err(|_| {
                "it is a level (error, warn, info, debug, trace), or target=level with commas between"
                    .to_owned()
            })
        });
        let json = check.word("log-format").map(|word| word == "json");
        Self {
            filter: filter.unwrap_or_default(),
            json: json.unwrap_or_else(|| !std::io::stderr().is_terminal()),
        }
    }
}
