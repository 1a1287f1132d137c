//! The names that people choose: queues, tags and tenants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a queue: `^[a-z0-9][a-z0-9._-]{0,63}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let follow = |byte: u8| start(byte) || matches!(byte, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        let fits = bytes.len() <= 64
            && bytes.first().is_some_and(|first| start(*first))
            && bytes.iter().all(|byte| follow(*byte));
        fits.then(|| Self(text.into())).ok_or(InvalidName::Queue)
    }
}

/// A tag of a job: 1 to 64 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits =
            (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into())).ok_or(InvalidName::Tag)
    }
}

/// The name of a tenant: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(Arc<str>);

impl TenantName {
    /// The name as text that can be shared.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = |byte: u8| byte.is_ascii_alphanumeric();
        let follow = |byte: u8| start(byte) || matches!(byte, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        let fits = bytes.len() <= 64
            && bytes.first().is_some_and(|first| start(*first))
            && bytes.iter().all(|byte| follow(*byte));
        fits.then(|| Self(text.into())).ok_or(InvalidName::Tenant)
    }
}

/// A name that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a queue's name.
    #[error("must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit")]
    Queue,
    /// Not a tag.
    #[error("must be 1 to 64 visible ASCII characters without spaces")]
    Tag,
    /// Not a tenant's name.
    #[error("must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', the first a letter or a digit")]
    Tenant,
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}
text!(QueueName);
text!(Tag);
text!(TenantName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_few_safe_characters() {
        for good in ["a", "0", "render", "a.b_c-d", &"q".repeat(64)] {
            assert!(good.parse::<QueueName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "-a",
            ".a",
            "_a",
            "a b",
            "a/b",
            "ä",
            "a\n",
            &"q".repeat(65),
        ] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_is_visible_ascii() {
        assert!("invoice:42~!".parse::<Tag>().is_ok());
        for bad in ["", "a b", "ä", "a\u{7f}", &"t".repeat(65)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
