//! What a command says: data on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use clerkwork_client::Status;
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// The form of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; an output as it is.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON document on each line.
    Jsonl,
    /// Nothing: the exit code says it.
    None,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command speaks to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) format: Format,
    pub(crate) colour: Colour,
    pub(crate) progress: bool,
    pub(crate) yes: bool,
}

impl Terminal {
    /// Writes bytes as they are.
    pub(crate) fn data(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            // Whoever reads has had enough, which is no failure of ours.
            std::io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, ""),
            _ => Failure::error(format!("standard output: {error}")),
        })
    }

    /// Writes one line.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        self.data(format!("{line}\n").as_bytes())
    }

    /// Writes one JSON document on a line.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text =
            serde_json::to_string(value).map_err(|error| Failure::error(error.to_string()))?;
        self.line(&text)
    }

    /// Writes an output as it is; only a person's terminal gets a line's end in addition.
    pub(crate) fn output(self, bytes: &[u8]) -> Result<(), Failure> {
        self.data(bytes)?;
        if std::io::stdout().is_terminal() && !bytes.ends_with(b"\n") {
            self.data(b"\n")?;
        }
        Ok(())
    }

    /// Says something beside the data.
    pub(crate) fn note(self, line: &str) {
        note(line);
    }

    /// Says how far it is, unless that is not wanted.
    pub(crate) fn progress(self, line: &str) {
        if self.progress {
            note(line);
        }
    }

    /// Asks before something that cannot be undone.
    pub(crate) fn confirm(self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{question} Say so with --yes.")));
        }
        let mut err = std::io::stderr();
        // If nobody can read the question, nobody will answer it.
        let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::error("nothing was done"))
        }
    }

    /// The word of a status, in its colour.
    pub(crate) fn status(self, status: Status) -> String {
        let colour = match status {
            Status::Succeeded => 32,
            Status::Failed => 31,
            Status::Cancelled | Status::Expired => 33,
            Status::Scheduled | Status::Queued | Status::Running => 36,
        };
        let coloured = match self.colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        if coloured {
            format!("\x1b[{colour}m{status}\x1b[0m")
        } else {
            status.to_string()
        }
    }
}

/// Writes the one line that says that a server is ready.
pub(crate) fn announce(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Says something on standard error.
pub(crate) fn note(line: &str) {
    // There is nowhere to complain about standard error.
    let _ = writeln!(std::io::stderr(), "{}", plain(line));
}

/// Text of others without what would steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.replace(steers, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_steers_no_terminal() {
        let text = "a\x1b[2J\u{9b}1m\x07\rb\n\tc\u{e4}";
        assert_eq!(
            plain(text),
            "a\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}b\n\tc\u{e4}"
        );
    }
}
