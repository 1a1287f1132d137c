//! `completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::CommandLine;
use crate::exit::{Exit, Failure};
use crate::terminal::{Colour, Format, Terminal};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork completions bash > /etc/bash_completion.d/clerkwork
  clerkwork completions zsh > ~/.zfunc/_clerkwork")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        let mut command = CommandLine::command();
        clap_complete::generate(self.shell, &mut command, "clerkwork", &mut script);
        let terminal = Terminal {
            format: Format::Text,
            colour: Colour::Never,
            progress: false,
            yes: false,
        };
        terminal.data(&script)?;
        Ok(Exit::Ok)
    }
}
