//! What a worker says is believed only as far as it has the shape of an event.

use std::sync::Arc;

use clerkwork_core::live::{MAX_CHUNK, MAX_MESSAGE};
use clerkwork_core::{JobId, Level, LogLine, Progress, UnixMs, json};
use clerkwork_wire::v1::EventKind;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::LiveEvent;

/// Who tells, and the number of what it tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Teller {
    /// The job.
    pub(crate) job: JobId,
    /// The attempt.
    pub(crate) attempt: u32,
    /// Counts the attempt's events from 1.
    pub(crate) seq: u64,
}

#[derive(Deserialize)]
struct Said<'a> {
    fraction: Option<f64>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default, borrow)]
    at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Line<'a> {
    level: Level,
    message: String,
    #[serde(default, borrow)]
    at: Option<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
struct Chunk<'a> {
    index: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The event, as clients will see it. One that does not fit is told as one that nobody is shown, so
/// that nobody waits for its number; `None` where it has none.
pub(crate) fn check(
    teller: Teller,
    kind: EventKind,
    data: &RawValue,
    now: UnixMs,
) -> Option<LiveEvent> {
    if teller.seq == 0 || teller.attempt == 0 {
        return None;
    }
    let unfit = || LiveEvent {
        job: teller.job,
        attempt: teller.attempt,
        seq: teller.seq,
        kind: EventKind::Other,
        data: Arc::from(RawValue::NULL.to_owned()),
        progress: None,
    };
    Some(fit(teller, kind, data, now).unwrap_or_else(unfit))
}

/// The event with only the members that it should have; `None` where it does not fit. The time is the
/// worker's, else `now`.
fn fit(teller: Teller, kind: EventKind, data: &RawValue, now: UnixMs) -> Option<LiveEvent> {
    let text = data.get();
    let mut newest = None;
    let data = match kind {
        EventKind::Progress => {
            let said: Said<'_> = serde_json::from_str(text).ok()?;
            let progress = Progress {
                fraction: said.fraction,
                message: said.message,
                at: moment(said.at, now),
            };
            let fits = progress.fraction.is_none_or(|it| (0.0..=1.0).contains(&it))
                && progress.message.as_deref().is_none_or(is_short);
            let data = fits.then(|| serde_json::value::to_raw_value(&progress));
            newest = Some(progress);
            data?.ok()?
        }
        EventKind::Log => {
            let line: Line<'_> = serde_json::from_str(text).ok()?;
            let shown = LogLine {
                level: line.level,
                message: line.message,
                at: moment(line.at, now),
            };
            let fits = is_short(&shown.message);
            fits.then(|| serde_json::value::to_raw_value(&shown))?
                .ok()?
        }
        EventKind::Chunk => {
            let chunk: Chunk<'_> = serde_json::from_str(text).ok()?;
            let part = chunk.data.get().as_bytes();
            let fits = part.len() <= MAX_CHUNK && json::check(part, json::MAX_DEPTH).is_ok();
            let shown = fits.then(|| serde_json::value::to_raw_value(&chunk))?;
            let shown = shown.ok()?;
            match one_line(shown.get()) {
                Some(line) => RawValue::from_string(line).ok()?,
                None => shown,
            }
        }
        EventKind::Other => return None,
    };
    Some(LiveEvent {
        job: teller.job,
        attempt: teller.attempt,
        seq: teller.seq,
        kind,
        data: Arc::from(data),
        progress: newest,
    })
}

/// The same JSON without line breaks, as streams tell it; `None` where it has none. Within JSON they can only stand
/// between its parts.
pub(crate) fn one_line(json: &str) -> Option<String> {
    const BREAKS: [char; 2] = ['\n', '\r'];
    // Nearly none has any, so it is looked at as bytes, which is quick.
    let breaks = json.bytes().any(|byte| matches!(byte, b'\n' | b'\r'));
    breaks.then(|| json.replace(BREAKS, " "))
}

fn is_short(message: &str) -> bool {
    message.len() <= MAX_MESSAGE
}

fn moment(told: Option<&RawValue>, now: UnixMs) -> UnixMs {
    told.and_then(|at| serde_json::from_str(at.get()).ok())
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: EventKind, data: &str) -> Option<String> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let teller = Teller {
            job: JobId::at(UnixMs(1)),
            attempt: 1,
            seq: 1,
        };
        let event = fit(teller, kind, &data, UnixMs(0))?;
        Some(event.data.get().to_owned())
    }

    #[test]
    fn an_event_has_the_members_that_it_should_have_and_a_time() {
        let progress = r#"{"fraction":0.5,"message":"x","at":"2026-11-24T10:00:07.120Z","more":1}"#;
        assert_eq!(
            seen(EventKind::Progress, progress).unwrap(),
            r#"{"fraction":0.5,"message":"x","at":"2026-11-24T10:00:07.120Z"}"#
        );
        assert_eq!(
            seen(EventKind::Progress, "{}").unwrap(),
            r#"{"fraction":null,"message":null,"at":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(
            seen(
                EventKind::Log,
                r#"{"message":"x","level":"warn","at":"soon"}"#
            )
            .unwrap(),
            r#"{"level":"warn","message":"x","at":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(
            seen(EventKind::Chunk, r#"{"data":{"a":1e400},"index":0}"#).unwrap(),
            r#"{"index":0,"data":{"a":1e400}}"#
        );
        assert_eq!(
            seen(EventKind::Chunk, "{\"data\":[1,\r\n\"\\n\"],\"index\":0}").unwrap(),
            r#"{"index":0,"data":[1,  "\n"]}"#
        );
    }

    #[test]
    fn what_does_not_fit_is_no_event() {
        let long = "x".repeat(MAX_MESSAGE + 1);
        let large = "x".repeat(MAX_CHUNK);
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        let bad = [
            (EventKind::Progress, r#"{"fraction":1.01}"#.to_owned()),
            (EventKind::Progress, r#"{"fraction":-0.1}"#.to_owned()),
            (EventKind::Progress, r#"{"fraction":"0.5"}"#.to_owned()),
            (EventKind::Progress, r#"{"message":7}"#.to_owned()),
            (EventKind::Progress, format!(r#"{{"message":"{long}"}}"#)),
            (EventKind::Progress, "7".to_owned()),
            (
                EventKind::Log,
                r#"{"level":"loud","message":"x"}"#.to_owned(),
            ),
            (EventKind::Log, r#"{"level":"info"}"#.to_owned()),
            (
                EventKind::Log,
                r#"{"level":"info","message":"\ud800"}"#.to_owned(),
            ),
            (
                EventKind::Log,
                format!(r#"{{"level":"info","message":"{long}"}}"#),
            ),
            (EventKind::Chunk, r#"{"index":-1,"data":1}"#.to_owned()),
            (EventKind::Chunk, r#"{"index":0}"#.to_owned()),
            (
                EventKind::Chunk,
                r#"{"index":0,"data":"\ud800"}"#.to_owned(),
            ),
            (
                EventKind::Chunk,
                format!(r#"{{"index":0,"data":"{large}"}}"#),
            ),
            (EventKind::Chunk, format!(r#"{{"index":0,"data":{deep}}}"#)),
            (EventKind::Other, "{}".to_owned()),
        ];
        for (kind, data) in bad {
            assert_eq!(seen(kind, &data), None, "{kind:?}");
        }
    }

    #[test]
    fn an_event_that_does_not_fit_keeps_its_number_and_says_nothing() {
        let data = RawValue::from_string(r#"{"fraction":2}"#.to_owned()).unwrap();
        let mut teller = Teller {
            job: JobId::at(UnixMs(1)),
            attempt: 1,
            seq: 3,
        };
        let event = check(teller, EventKind::Progress, &data, UnixMs(0)).unwrap();
        assert_eq!((event.kind, event.seq), (EventKind::Other, 3));
        assert_eq!((event.data.get(), event.is_unfit()), ("null", true));
        teller.seq = 0;
        assert!(check(teller, EventKind::Progress, &data, UnixMs(0)).is_none());
    }
}
