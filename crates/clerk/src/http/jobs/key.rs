//! Idempotency keys: what a client calls its request, and what it asked for under that name.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName};
use clerkwork_store::Key;
use sha2::{Digest as _, Sha256};

use crate::http::problem::{Kind, Problem};

/// The header that says that a job was accepted before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The hash of a tenant's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// The key with what it is used for.
    pub(crate) fn used_for(self, fingerprint: [u8; 32]) -> Key {
        Key {
            key: self.0,
            fingerprint,
        }
    }
}

/// The request's key, if it has one. A quoted key is the same as a bare one.
pub(crate) fn of(headers: &HeaderMap, tenant: &str) -> Result<Option<KeyHash>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = keys.next() else {
        return Ok(None);
    };
    let only = keys.next().is_none().then(|| first.to_str().ok()).flatten();
    let key = only.and_then(|text| unquoted(text.trim())).filter(|key| {
        let of_key = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        (1..=255).contains(&key.len()) && key.bytes().all(of_key)
    });
    let key = key.ok_or_else(|| {
        Problem::because(
            Kind::MalformedRequest,
            "the Idempotency-Key must be one key of 1 to 255 visible ASCII characters without \
             spaces and double quotes, bare or in double quotes",
        )
    })?;
    let hash = Sha256::new()
        .chain_update(tenant)
        .chain_update([0])
        .chain_update(key.as_bytes());
    Ok(Some(KeyHash(hash.finalize().into())))
}

/// The hash of what is asked for: the job's bytes, and its input where that is not among them.
pub(crate) fn fingerprint(job: &[u8], input_type: &str, input: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [job, input_type.as_bytes(), input] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A quoted text without its quotes and escapes; `None` where they do not match.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = text.strip_prefix('"') else {
        return Some(Cow::Borrowed(text));
    };
    let inner = rest.strip_suffix('"')?;
    if !inner.contains(['\\', '"']) {
        return Some(Cow::Borrowed(inner));
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => plain.push(chars.next().filter(|next| matches!(next, '"' | '\\'))?),
            other => plain.push(other),
        }
    }
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(values: &[&str], tenant: &str) -> Result<Option<KeyHash>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(IDEMPOTENCY_KEY, value);
        }
        of(&headers, tenant)
    }

    #[test]
    fn a_quoted_key_is_the_same_as_a_bare_one() {
        let bare = key(&["order-42"], "t").unwrap();
        assert_eq!(key(&["\"order-42\""], "t").unwrap(), bare);
        assert_ne!(key(&["order-43"], "t").unwrap(), bare);
        assert_eq!(
            key(&[r#""a\\b""#], "t").unwrap(),
            key(&[r"a\b"], "t").unwrap()
        );
        assert!(key(&[&"k".repeat(255)], "t").unwrap().is_some());
    }

    #[test]
    fn keys_of_two_tenants_are_two_keys() {
        assert_ne!(key(&["k"], "a").unwrap(), key(&["k"], "b").unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        for bad in [
            "",
            "\"\"",
            "\"",
            "\"a",
            "a b",
            "\"a b\"",
            "\"a\"b\"",
            "\"a\\b\"",
            "ä",
            "a\"b",
            "a\"",
            r#""a\"b""#,
            &long,
        ] {
            assert!(key(&[bad], "t").is_err(), "{bad}");
        }
        assert!(key(&["a", "a"], "t").is_err());
        assert_eq!(key(&[], "t").unwrap(), None);
    }

    #[test]
    fn a_fingerprint_knows_where_its_parts_end() {
        assert_ne!(fingerprint(b"a", "b", b"c"), fingerprint(b"ab", "", b"c"));
        assert_ne!(fingerprint(b"a", "b", b""), fingerprint(b"a", "", b"b"));
    }
}
