//! `version`: which program this is.

use clap::Args;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::terminal::{Colour, Format, Terminal};

/// Print the version
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork version -o json")]
pub(crate) struct Version {
    /// Form of the data on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Version {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let terminal = Terminal {
            format: self.output,
            colour: Colour::Never,
            progress: false,
            yes: false,
        };
        let version = env!("CARGO_PKG_VERSION");
        match self.output {
            Format::Text => terminal.line(&format!("clerkwork {version}"))?,
            Format::Json | Format::Jsonl => {
                terminal.json(&json!({ "name": "clerkwork", "version": version }))?;
            }
            Format::None => {}
        }
        Ok(Exit::Ok)
    }
}
