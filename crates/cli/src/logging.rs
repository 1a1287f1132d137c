//! The log: lines on standard error, for people or for machines.

use std::fmt::{self as text, Debug, Write};

use tracing::Level;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::settings::log::LogSettings;

/// Log the bodies of messages, and as errors what is none of ours: a look at a queue that is not there.
/// What becomes of connections is told by our own words.
const SILENT: [&str; 2] = ["lapin", "amq_protocol"];
/// Logs statements with their values; its errors are ours.
const TALKATIVE: &str = "sqlx";

/// Starts to log. A program that has set up its own log before keeps it.
pub(crate) fn start(settings: LogSettings) {
    let discreet = filter_fn(|metadata| {
        let from = |library: &str| metadata.target().starts_with(library);
        let trivial = from(TALKATIVE) && *metadata.level() != Level::ERROR;
        !trivial && !SILENT.into_iter().any(from)
    });
    let form = if settings.json {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        fmt::layer()
            .with_ansi(colours)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_writer(std::io::stderr)
            .boxed()
    };
    let log = form.with_filter(settings.filter).with_filter(discreet);
    // Only a log that is there already stands in the way, and it serves as well.
    let _ = tracing_subscriber::registry().with(log).try_init();
}

/// One field of a line for people.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> text::Result {
    match field.name() {
        "message" => write!(OneLine(writer), "{value:?}"),
        // Where in a library it was logged.
        name if name.starts_with("log.") => Ok(()),
        name => {
            if writer.has_ansi_escapes() {
                write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?;
            } else {
                write!(writer, "{name}=")?;
            }
            write!(OneLine(writer), "{value:?}")
        }
    }
}

/// Writes texts that may be a stranger's, such as what a command has said: they can neither begin a line
/// that looks like ours nor tell a terminal anything.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> text::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unruly) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = from.chars();
            if let Some(unruly) = chars.next() {
                write!(self.0, "{}", unruly.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether it ends a line, steers a terminal, or turns a text around.
fn is_unruly(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line_and_says_nothing_to_a_terminal() {
        let said = |text: &str| {
            let mut line = String::new();
            OneLine(&mut line).write_str(text).unwrap();
            line
        };
        assert_eq!(said("plain ä \u{1f600} \"'\\"), "plain ä \u{1f600} \"'\\");
        assert_eq!(said(""), "");
        assert_eq!(said("a\r\n\tb\n"), "a\\r\\n\\tb\\n");
        assert_eq!(
            said("\u{1b}[31m\u{9b}x\u{7f}"),
            "\\u{1b}[31m\\u{9b}x\\u{7f}"
        );
        assert_eq!(said("a\u{2028}\u{202e}b"), "a\\u{2028}\\u{202e}b");
    }
}
