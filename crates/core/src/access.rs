//! API keys: what a client shows to prove whose jobs it may see.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Submit jobs of its tenant, see them and change them.
    Client,
    /// That, and see and change the queues of everybody.
    Operator,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Client, Self::Operator]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(InvalidAccess::Role)
    }
}

/// The name of a key, which is no secret: 8 letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    const LENGTH: usize = 8;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is made of ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyId {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = base62(text.as_bytes()).ok_or(InvalidAccess::KeyId)?;
        Ok(Self(digits))
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidAccess;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

/// An API key: `cwk_<8 id>_<43 secret>`. Only [`ApiKey::reveal`] tells the secret.
///
/// ```
/// use clerkwork_core::ApiKey;
/// let key = ApiKey::random();
/// let shown: ApiKey = key.reveal().parse().expect("a key");
/// assert!(shown.fits(&key.hash()));
/// assert_eq!(format!("{key:?}"), format!("cwk_{}_***", key.id()));
/// ```
#[derive(Clone, Copy)]
pub struct ApiKey {
    id: KeyId,
    secret: [u8; ApiKey::SECRET],
}

impl ApiKey {
    /// 43 digits of 62 are more than 256 bits.
    const SECRET: usize = 43;

    /// A new key.
    #[must_use]
    pub fn random() -> Self {
        let mut random = crate::chance();
        Self {
            id: KeyId(std::array::from_fn(|_| random.sample(Alphanumeric))),
            secret: std::array::from_fn(|_| random.sample(Alphanumeric)),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What is kept of its secret.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Whether its secret is the one that this was kept of; the time taken tells nothing.
    #[must_use]
    pub fn fits(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// The whole key, for its holder.
    #[must_use]
    pub fn reveal(&self) -> String {
        let secret = std::str::from_utf8(&self.secret).unwrap_or_default();
        format!("cwk_{}_{secret}", self.id)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cwk_{}_***", self.id)
    }
}

impl FromStr for ApiKey {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("cwk_").ok_or(InvalidAccess::Key)?;
        let (id, secret) = rest.split_once('_').ok_or(InvalidAccess::Key)?;
        Ok(Self {
            id: id.parse().map_err(|_| InvalidAccess::Key)?,
            secret: base62(secret.as_bytes()).ok_or(InvalidAccess::Key)?,
        })
    }
}

/// What is no key, or no part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccess {
    /// Not a role.
    #[error("must be client or operator")]
    Role,
    /// Not a key's name.
    #[error("must be the 8 letters and digits that `clerkwork key list` shows")]
    KeyId,
    /// Not a key.
    #[error("must be a key as `clerkwork key create` printed it: cwk_<id>_<secret>")]
    Key,
}

/// Exactly so many letters and digits.
fn base62<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let bytes: [u8; N] = bytes.try_into().ok()?;
    bytes.iter().all(u8::is_ascii_alphanumeric).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_cwk_an_id_of_8_and_a_secret_of_43_and_no_two_are_alike() {
        let (one, two) = (ApiKey::random(), ApiKey::random());
        let text = one.reveal();
        assert_eq!(text.len(), 4 + 8 + 1 + 43);
        assert!(text.starts_with(&format!("cwk_{}_", one.id())));
        assert_ne!(text, two.reveal());
        let read: ApiKey = text.parse().unwrap();
        assert_eq!(read.id(), one.id());
        assert!(read.fits(&one.hash()));
        assert!(!two.fits(&one.hash()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = ApiKey::random().reveal();
        for bad in [
            "",
            "cwk_",
            "cwk__",
            &good[4..],
            &good[..good.len() - 1],
            &format!("{good}a"),
            &good.replace("cwk", "CWK"),
            &format!("{} ", &good[..good.len() - 1]),
            &format!("{}ä", &good[..good.len() - 2]),
        ] {
            assert!(bad.parse::<ApiKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_debug_output_holds_the_secret() {
        let key = ApiKey::random();
        let secret = &key.reveal()[13..];
        assert!(!format!("{key:?} {:?}", Some(key)).contains(secret));
    }
}
