//! The W3C trace context of a request.

use axum::http::{HeaderMap, HeaderName};
use clerkwork_core::Trace;
use rand::RngExt as _;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The most bytes of a `tracestate` that are carried on.
const LONGEST_STATE: usize = 512;

/// The context that the request's job belongs to: the one it came with, or a new one if that cannot
/// be read. Without a `traceparent` there is none.
pub(crate) fn of(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(PARENT).iter();
    let first = parents.next()?;
    let parent = match parents.next() {
        None => first.to_str().ok().and_then(valid_parent),
        Some(_) => None,
    };
    Some(match parent {
        Some(parent) => Trace {
            parent,
            state: state_of(headers),
        },
        None => new(),
    })
}

/// `version-trace-parent-flags` in lower-case hex; what a later version adds is left out.
fn valid_parent(text: &str) -> Option<String> {
    let (known, more) = text.trim().split_at_checked(55)?;
    let mut parts = known.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace = hex(parts.next()?, 32)?;
    let span = hex(parts.next()?, 16)?;
    let flags = hex(parts.next()?, 2)?;
    let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
    let names = trace.contains(|digit| digit != '0') && span.contains(|digit| digit != '0');
    (ends && names && version != "ff").then(|| format!("00-{trace}-{span}-{flags}"))
}

fn hex(text: &str, length: usize) -> Option<&str> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == length && text.bytes().all(digit)).then_some(text)
}

fn state_of(headers: &HeaderMap) -> Option<String> {
    let lines: Result<Vec<_>, _> = headers
        .get_all(STATE)
        .iter()
        .map(|line| line.to_str())
        .collect();
    let state = lines.ok()?.join(",");
    (!state.is_empty() && state.len() <= LONGEST_STATE).then_some(state)
}

fn new() -> Trace {
    let mut random = clerkwork_core::chance();
    // The first digit keeps both from being all zeros, which names nothing.
    let trace: u128 = random.random::<u128>() | 1 << 124;
    let span: u64 = random.random::<u64>() | 1 << 60;
    Trace {
        parent: format!("00-{trace:032x}-{span:016x}-00"),
        state: None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(parent: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert(PARENT, HeaderValue::from_str(parent).unwrap());
        headers.insert(STATE, HeaderValue::from_static("a=1,b=2"));
        of(&headers).unwrap()
    }

    #[test]
    fn a_valid_context_is_carried_on() {
        let trace = traced(GOOD);
        assert_eq!(trace.parent, GOOD);
        assert_eq!(trace.state.as_deref(), Some("a=1,b=2"));
        assert_eq!(traced(&GOOD.replacen("00", "cc", 1)).id(), trace.id());
        assert_eq!(traced(&format!("cc{}-later", &GOOD[2..])).parent, GOOD);
    }

    #[test]
    fn a_bad_context_starts_a_new_trace() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{GOOD}-x"),
            &format!("ff{}", &GOOD[2..]),
        ] {
            let trace = traced(bad);
            assert_eq!(
                valid_parent(&trace.parent).as_ref(),
                Some(&trace.parent),
                "{bad}"
            );
            assert_eq!(trace.state, None);
        }
    }

    #[test]
    fn no_context_stays_none() {
        assert_eq!(of(&HeaderMap::new()), None);
    }
}
