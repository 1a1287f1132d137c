//! Entity tags: a job's is its revision, that of bytes which never change is always the same.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};

use crate::http::respond;

/// The tag of inputs and outputs: an address has only one content for ever.
pub(crate) const ONLY: HeaderValue = HeaderValue::from_static("\"1\"");

/// The tag of a job at this revision.
pub(crate) fn of_rev(rev: u32) -> HeaderValue {
    respond::value(format!("W/\"{rev}\""))
}

/// Whether the client has what this tag stands for. Tags are compared weakly, as for reading.
pub(crate) fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    let tag = opaque(tag);
    let mut lines = headers.get_all(IF_NONE_MATCH).iter();
    lines.any(|line| line.to_str().is_ok_and(|line| any_of(line, tag)))
}

/// Whether the client told what it has.
pub(crate) fn told(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

fn any_of(line: &str, tag: &str) -> bool {
    let mut rest = line.trim();
    if rest == "*" {
        return true;
    }
    // A tag may hold commas, so the quotes decide.
    while let Some(start) = rest.find('"') {
        let Some(length) = rest[start + 1..].find('"') else {
            return false;
        };
        let end = start + 1 + length;
        if &rest[start..=end] == tag {
            return true;
        }
        rest = &rest[end + 1..];
    }
    false
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(line: &str, rev: u32) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
        has(&headers, &of_rev(rev))
    }

    #[test]
    fn a_tag_is_found_weak_or_strong_alone_or_in_a_list() {
        for line in ["W/\"7\"", "\"7\"", "\"a,b\", W/\"7\"", "*", "W/\"6\",\"7\""] {
            assert!(knows(line, 7), "{line}");
        }
    }

    #[test]
    fn other_and_broken_tags_are_not_found() {
        for line in ["W/\"17\"", "7", "\"7", "\"a,7\"", "", ",", "W/"] {
            assert!(!knows(line, 7), "{line}");
        }
        assert!(!has(&HeaderMap::new(), &ONLY));
    }
}
