//! Web pages that use this service from a visitor's browser: which of them may.
//!
//! While there are no keys, whoever reaches the address may do everything, and a browser on the same
//! machine reaches it on behalf of any page in the world. Two checks keep such pages out: what changes
//! something must come from a page of the same or of an allowed origin ([`check_origin`]), and every
//! request must be addressed to a name that no stranger can point here ([`check_host`]): else a page's
//! own name, which its owner points to 127.0.0.1 after it was loaded, would make this service the
//! page's origin.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::Origin;
use crate::http::problem::{Kind, Problem};

/// Names that can be bought of nobody (RFC 6761, RFC 8375, and what ICANN keeps free).
const RESERVED: [&str; 9] = [
    "example",
    "example.com",
    "example.net",
    "example.org",
    "home.arpa",
    "internal",
    "invalid",
    "localhost",
    "test",
];

/// Refuses what a page of another origin asks, unless it is allowed to.
pub(crate) fn check_origin(allowed: &[Origin], headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let of_origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    let same = of_origin
        .zip(host(headers))
        .is_some_and(|((_, of_origin), host)| of_origin.eq_ignore_ascii_case(host));
    if same || allowed.iter().any(|allowed| allowed.is(origin)) {
        return Ok(());
    }
    let detail = "pages of this origin may not use this service: name it in --cors-origins";
    Err(Problem::because(Kind::Forbidden, detail))
}

/// Refuses what is addressed to a name that a stranger could have pointed here.
pub(crate) fn check_host(allowed: &[Origin], headers: &HeaderMap) -> Result<(), Problem> {
    // Browsers always send one.
    let Some(host) = host(headers) else {
        return Ok(());
    };
    if is_nobodys(without_port(host)) || allowed.iter().any(|allowed| allowed.is_on(host)) {
        return Ok(());
    }
    let detail = "while there are no API keys, this service answers to IP addresses and local names only: \
                  make a key, or name the origin in --cors-origins";
    Err(Problem::because(Kind::Forbidden, detail))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether this is an address, or a name that no stranger can own: one word, or reserved.
fn is_nobodys(name: &str) -> bool {
    let v6 = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(v6) = v6 {
        return v6.parse::<Ipv6Addr>().is_ok();
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let under = |reserved: &&str| {
        let rest = name.strip_suffix(*reserved);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let one_word = !name.is_empty() && !name.contains(['.', ':']);
    one_word || RESERVED.iter().any(under)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let lines = lines.iter().cloned();
        lines
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    fn allowed() -> [Origin; 1] {
        ["https://app.page.dev:8443".parse().unwrap()]
    }

    #[test]
    fn only_pages_of_the_same_and_of_allowed_origins_may_ask() {
        let asks = |origin| {
            let headers = headers(&[(HOST, "localhost:8080"), (ORIGIN, origin)]);
            check_origin(&allowed(), &headers).is_ok()
        };
        for mine in ["http://localhost:8080", "https://app.page.dev:8443"] {
            assert!(asks(mine), "{mine}");
        }
        for foreign in [
            "https://evil.dev",
            "http://localhost:3000",
            "http://localhost",
            "https://app.page.dev",
            "null",
            "",
        ] {
            assert!(!asks(foreign), "{foreign}");
        }
        assert!(check_origin(&[], &headers(&[(HOST, "any")])).is_ok());
    }

    #[test]
    fn only_names_that_nobody_else_can_point_here_are_answered_to() {
        let answers = |host| check_host(&allowed(), &headers(&[(HOST, host)])).is_ok();
        for fine in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost.:1",
            "clerk-1:8080",
            "host.docker.internal:8080",
            "jobs.example.com",
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "[::1]",
            "app.page.dev:8443",
        ] {
            assert!(answers(fine), "{fine}");
        }
        for strangers in [
            "evil.dev:8080",
            "evil.dev.",
            "localhost.evil.dev",
            "127.0.0.1.evil.dev",
            "badexample.com",
            "app.page.dev",
            "[::1].evil.dev",
            "::1",
            ".",
            "",
        ] {
            assert!(!answers(strangers), "{strangers}");
        }
        assert!(check_host(&[], &HeaderMap::new()).is_ok());
    }
}
