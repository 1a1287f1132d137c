//! How long a client is willing to wait: `Prefer: wait=N` (RFC 7240).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use clerkwork_core::KeyId;

use crate::Desk;
use crate::http::half_close::HalfClose;
use crate::http::respond;
use crate::limits::HeldRequest;

/// The header that says which preference was honoured.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// For how long a request is held. Lives as long as the request, which counts until then.
#[derive(Debug)]
pub(crate) enum Wait {
    /// Not at all: it did not ask for it.
    None,
    /// Not at all, though it asked: too many are held.
    Full,
    /// At most this many seconds.
    Seconds(
        u64,
        /// A client that sends no more is answered at once: it may have gone.
        HalfClose,
        #[expect(dead_code, reason = "it counts until it is dropped")] HeldRequest,
    ),
}

impl Wait {
    /// What the headers of a key's request ask for, as far as this clerk grants it.
    pub(crate) fn asked(
        headers: &HeaderMap,
        half_close: HalfClose,
        desk: &Desk,
        key: Option<KeyId>,
    ) -> Self {
        let most = desk.config.wait_max.as_secs();
        match wanted(headers, most) {
            None | Some(0) => Self::None,
            Some(seconds) => match desk.limits.hold(key) {
                Ok(held) => Self::Seconds(seconds, half_close, held),
                Err(_) => Self::Full,
            },
        }
    }

    /// How long the request is held, if it is.
    pub(crate) fn span(&self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds, ..) => Some(Duration::from_secs(*seconds)),
            Self::None | Self::Full => None,
        }
    }

    /// Waits until the client of a held request sends no more.
    pub(crate) async fn half_closed(&self) {
        match self {
            Self::Seconds(_, half_close, _) => half_close.seen().await,
            Self::None | Self::Full => std::future::pending().await,
        }
    }

    /// Whether the request is held.
    pub(crate) fn holds(&self) -> bool {
        self.span().is_some()
    }

    /// What to say about it, if anything.
    pub(crate) fn applied(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Full => Some(HeaderValue::from_static("wait=0")),
            Self::Seconds(seconds, ..) => Some(respond::value(format!("wait={seconds}"))),
        }
    }
}

/// The seconds of the first `wait` that can be read, lowered to `most`.
fn wanted(headers: &HeaderMap, most: u64) -> Option<u64> {
    let lines = headers.get_all(PREFER).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .find_map(|preference| wait_of(preference, most))
}

fn wait_of(preference: &str, most: u64) -> Option<u64> {
    let (preference, _parameters) = preference.split_once(';').unwrap_or((preference, ""));
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let value = quoted.unwrap_or(value);
    if value.is_empty() {
        return Some(most);
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are more than the most.
    digits.then(|| value.parse().unwrap_or(u64::MAX).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        wanted(&headers, 45)
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(asked(&["wait=20"]), Some(20));
        assert_eq!(asked(&["respond-async, wait=7"]), Some(7));
        assert_eq!(asked(&["respond-async", "Wait = \"7\" ; x=y"]), Some(7));
        assert_eq!(asked(&["wait=3, wait=9"]), Some(3));
    }

    #[test]
    fn a_wait_is_never_longer_than_the_most() {
        assert_eq!(asked(&["wait=46"]), Some(45));
        assert_eq!(asked(&["wait=99999999999999999999999999"]), Some(45));
        assert_eq!(asked(&["wait"]), Some(45));
        assert_eq!(asked(&["wait=\"\""]), Some(45));
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&["wait=-1"]), None);
        assert_eq!(
            asked(&["wait=1.5", "wait=soon", "waiting=3", "\u{e4}=1", ";;,,=="]),
            None
        );
        assert_eq!(asked(&["wait=x, wait=4"]), Some(4));
        assert_eq!(asked(&["wait=0"]), Some(0));
    }
}
