//! The log: lines on standard error, for people or for machines.

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
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
            .with_writer(std::io::stderr)
            .boxed()
    };
    let log = form.with_filter(settings.filter).with_filter(discreet);
    // Only a log that is there already stands in the way, and it serves as well.
    let _ = tracing_subscriber::registry().with(log).try_init();
}
