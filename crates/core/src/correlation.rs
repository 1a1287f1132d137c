//! The correlation id: to a worker one opaque word, to us the right to answer for one attempt.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::id::{ClerkId, JobId};

/// What a correlation id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Correlation {
    /// The job.
    pub job: JobId,
    /// The attempt that may be answered for.
    pub attempt: u32,
    /// The job's revision when it was dispatched.
    pub rev: u32,
    /// The clerk that dispatched it.
    pub clerk: ClerkId,
}

/// A secret that all clerks of a store share.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Which one, so that a new one can be brought in beside the old.
    pub id: u8,
    /// 256 random bits.
    pub bytes: [u8; 32],
}

impl Secret {
    /// A new secret.
    #[must_use]
    pub fn random(id: u8) -> Self {
        Self {
            id,
            bytes: crate::chance().random(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, ***)", self.id)
    }
}

/// Seals correlation ids with the newest secret and opens those of every known one.
///
/// ```
/// use clerkwork_core::{ClerkId, Correlation, JobId, Seal, Secret, UnixMs};
/// let seal = Seal::new(vec![Secret::random(1)]).expect("one secret");
/// let said = Correlation { job: JobId::at(UnixMs(1)), attempt: 1, rev: 1, clerk: ClerkId(7) };
/// assert_eq!(seal.open(&seal.seal(&said)), Some(said));
/// assert_eq!(seal.open("forged"), None);
/// ```
#[derive(Clone)]
pub struct Seal {
    newest: (u8, Hmac<Sha256>),
    all: Vec<(u8, Hmac<Sha256>)>,
}

const FIELDS: usize = 16 + 4 + 4 + 8 + 1;
const MAC: usize = 16;

impl Seal {
    /// A seal with these secrets, the newest last; `None` without any.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Option<Self> {
        let all: Vec<_> = secrets
            .into_iter()
            .filter_map(|secret| {
                let mac = Hmac::<Sha256>::new_from_slice(&secret.bytes).ok()?;
                Some((secret.id, mac))
            })
            .collect();
        Some(Self {
            newest: all.last()?.clone(),
            all,
        })
    }

    /// The word that stands for `said`: 66 characters of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn seal(&self, said: &Correlation) -> String {
        let mut bytes = [0u8; FIELDS + MAC];
        bytes[..16].copy_from_slice(said.job.uuid().as_bytes());
        bytes[16..20].copy_from_slice(&said.attempt.to_be_bytes());
        bytes[20..24].copy_from_slice(&said.rev.to_be_bytes());
        bytes[24..32].copy_from_slice(&said.clerk.0.to_be_bytes());
        bytes[32] = self.newest.0;
        let mac = tag(&self.newest.1, &bytes[..FIELDS]);
        bytes[FIELDS..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the word says, if one of our secrets sealed it.
    #[must_use]
    pub fn open(&self, word: &str) -> Option<Correlation> {
        // Longer than a word ever is: the decoder estimates by whole groups of four.
        let mut bytes = [0u8; FIELDS + MAC + 3];
        let length = URL_SAFE_NO_PAD.decode_slice(word, &mut bytes).ok()?;
        if length != FIELDS + MAC {
            return None;
        }
        let (fields, mac) = bytes[..length].split_at(FIELDS);
        let (_, secret) = self.all.iter().find(|(id, _)| *id == fields[32])?;
        if !bool::from(tag(secret, fields).ct_eq(mac)) {
            return None;
        }
        Some(Correlation {
            job: JobId::from_uuid(Uuid::from_slice(&fields[..16]).ok()?)?,
            attempt: u32::from_be_bytes(fields[16..20].try_into().ok()?),
            rev: u32::from_be_bytes(fields[20..24].try_into().ok()?),
            clerk: ClerkId(i64::from_be_bytes(fields[24..32].try_into().ok()?)),
        })
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({} secrets)", self.all.len())
    }
}

fn tag(secret: &Hmac<Sha256>, fields: &[u8]) -> [u8; MAC] {
    let whole = secret.clone().chain_update(fields).finalize().into_bytes();
    let mut mac = [0; MAC];
    mac.copy_from_slice(&whole[..MAC]);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMs;

    fn said() -> Correlation {
        Correlation {
            job: JobId::at(UnixMs(1_763_900_000_000)),
            attempt: 3,
            rev: 9,
            clerk: ClerkId(4),
        }
    }

    #[test]
    fn a_word_of_an_older_secret_still_opens() {
        let (old, new) = (Secret::random(1), Secret::random(2));
        let said = said();
        let word = Seal::new(vec![old.clone()]).unwrap().seal(&said);
        assert_eq!(
            Seal::new(vec![old, new.clone()]).unwrap().open(&word),
            Some(said)
        );
        assert_eq!(Seal::new(vec![new]).unwrap().open(&word), None);
    }

    proptest! {
        #[test]
        fn no_changed_word_opens_as_another(at in 0usize..66, to in "[A-Za-z0-9_-]") {
            let seal = Seal::new(vec![Secret::random(1)]).unwrap();
            let word = seal.seal(&said());
            prop_assert_eq!(word.len(), 66);
            let mut forged = word.clone();
            forged.replace_range(at..=at, &to);
            let opened = seal.open(&forged);
            prop_assert!(forged == word || opened.is_none());
        }

        #[test]
        fn opening_any_text_never_panics(text in ".{0,300}") {
            let seal = Seal::new(vec![Secret::random(1)]).unwrap();
            prop_assert!(seal.open(&text).is_none());
        }
    }
}
