//! The origins of web pages, as browsers name them.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;
use url::Url;

/// The origin of a web page: a scheme, a host, and a port where that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Whether a request's header `Origin` names this one.
    #[must_use]
    pub fn is(&self, header: &HeaderValue) -> bool {
        header.as_bytes() == self.0.as_bytes()
    }

    /// Whether a request's header `Host` names where this origin is served.
    #[must_use]
    pub fn is_on(&self, host: &str) -> bool {
        let of_origin = self.0.split_once("://");
        of_origin.is_some_and(|(_, of_origin)| of_origin.eq_ignore_ascii_case(host))
    }
}

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be an origin without a path, such as https://app.example.com")]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(text).map_err(|_| InvalidOrigin)?;
        let web = matches!(url.scheme(), "http" | "https");
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        // Browsers send the origin in this form, whatever was typed.
        (web && bare && nobody)
            .then(|| Self(url.origin().ascii_serialization()))
            .ok_or(InvalidOrigin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Origin>().ok().map(|origin| origin.to_string())
    }

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, kept) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(read(text).as_deref(), Some(kept));
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "file:///a",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_very_same_origin_is_it() {
        let origin: Origin = "https://a.example".parse().unwrap();
        assert!(origin.is(&HeaderValue::from_static("https://a.example")));
        for other in [
            "https://a.example.evil.example",
            "https://b.a.example",
            "http://a.example",
            "https://a.example:444",
            "https://a.example/",
            "null",
        ] {
            assert!(!origin.is(&HeaderValue::from_static(other)), "{other}");
        }
    }
}
