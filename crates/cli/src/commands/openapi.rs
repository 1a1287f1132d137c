//! `openapi`: the interface, described for programs.

use clap::Args;

use crate::exit::{Exit, Failure};
use crate::terminal::{Colour, Format, Terminal};

/// Print the OpenAPI document of the HTTP interface
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork openapi > openapi.json")]
pub(crate) struct Openapi {}

impl Openapi {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let terminal = Terminal {
            format: Format::Text,
            colour: Colour::Never,
            progress: false,
            yes: false,
        };
        terminal.data(clerkwork_clerk::http::openapi::text().as_bytes())?;
        Ok(Exit::Ok)
    }
}
