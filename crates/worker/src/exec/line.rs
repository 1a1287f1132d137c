//! The lines that a command may write to file descriptor 3.
//!
//! `progress 0.4 page 3 of 7`, `log warn low on memory`, `chunk {"any":"json"}`, `retry-after 30`.

use std::time::Duration;

use clerkwork_core::{Level, json};
use serde_json::value::RawValue;

/// The longest wait that a command may ask for.
const LONGEST: f64 = 365.0 * 86_400.0;

/// What one line says.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Progress(Option<f64>, Option<&'a str>),
    Log(Level, &'a str),
    Chunk(Box<RawValue>),
    RetryAfter(Duration),
}

/// Reads a line; `None` where it is unknown or ill-formed.
pub(super) fn read(line: &str) -> Option<Line<'_>> {
    let (word, rest) = line.split_once(' ')?;
    let rest = rest.trim();
    match word {
        "progress" => {
            let (fraction, message) = rest.split_once(' ').unwrap_or((rest, ""));
            let fraction: f64 = fraction
                .parse()
                .ok()
                .filter(|fraction: &f64| fraction.is_finite())?;
            Some(Line::Progress(
                Some(fraction),
                Some(message.trim()).filter(|it| !it.is_empty()),
            ))
        }
        "log" => {
            let (level, message) = rest.split_once(' ').unwrap_or((rest, ""));
            let level = match level {
                "debug" => Level::Debug,
                "info" => Level::Info,
                "warn" => Level::Warn,
                "error" => Level::Error,
                _ => return None,
            };
            Some(Line::Log(level, message))
        }
        "chunk" => {
            json::check(rest.as_bytes(), json::MAX_DEPTH).ok()?;
            RawValue::from_string(rest.to_owned()).ok().map(Line::Chunk)
        }
        "retry-after" => {
            let seconds: f64 = rest
                .parse()
                .ok()
                .filter(|seconds| (0.0..=LONGEST).contains(seconds))?;
            Some(Line::RetryAfter(Duration::from_secs_f64(seconds)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_read() {
        let said = read("progress 0.4 page 3 of 7");
        assert!(matches!(said, Some(Line::Progress(Some(f), Some("page 3 of 7"))) if f == 0.4));
        assert!(matches!(
            read("progress 1"),
            Some(Line::Progress(Some(_), None))
        ));
        assert!(matches!(
            read("log warn low on memory"),
            Some(Line::Log(Level::Warn, "low on memory"))
        ));
        assert!(matches!(
            read(r#"chunk {"any":"json"}"#),
            Some(Line::Chunk(_))
        ));
        assert!(matches!(read("retry-after 30"), Some(Line::RetryAfter(d)) if d.as_secs() == 30));
    }

    #[test]
    fn unknown_and_ill_formed_lines_are_ignored() {
        let bad = [
            "",
            "progress",
            "progress x",
            "progress NaN",
            "log loud hello",
            "log",
            "chunk {",
            "chunk ",
            "chunk \"\\ud800\"",
            "retry-after -1",
            "retry-after 1e300",
            "retry-after inf",
            "retry-after",
            "PROGRESS 1",
            " progress 1",
            "cancel 1",
        ];
        for line in bad {
            assert!(read(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_chunk_is_nested_no_deeper_than_clerks_take() {
        let nested = |depth| format!("chunk {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(100)).is_some());
        assert!(read(&nested(101)).is_none());
    }
}
