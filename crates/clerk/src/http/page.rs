//! The cursor of a list: where the next page begins, sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerkwork_core::JobId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The hash of what a list is filtered by, beside where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filters([u8; 8]);

impl Filters {
    /// The hash of these parts, in this order.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        let mut short = [0; 8];
        short.copy_from_slice(&hash.finalize()[..8]);
        Self(short)
    }
}

/// Why a cursor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCursor {
    /// It is none of ours.
    #[error("is not a cursor that this service gave out")]
    Forged,
    /// It belongs to another list.
    #[error("belongs to a list with other filters: start again without it")]
    OtherFilters,
}

const ID: usize = 16;
const HASH: usize = 8;
const MAC: usize = 16;
const LABEL: &[u8] = b"clerkwork list cursor 1";

/// The cursor of the page that follows `last`.
pub(crate) fn seal(secret: &[u8; 32], last: JobId, filters: Filters) -> String {
    let mut bytes = Vec::with_capacity(ID + HASH + MAC);
    bytes.extend_from_slice(last.uuid().as_bytes());
    bytes.extend_from_slice(&filters.0);
    let mac = mac(secret, &bytes).finalize().into_bytes();
    bytes.extend_from_slice(&mac[..MAC]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The id after which the page begins.
pub(crate) fn open(secret: &[u8; 32], cursor: &str, filters: Filters) -> Result<JobId, BadCursor> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| BadCursor::Forged)?;
    if bytes.len() != ID + HASH + MAC {
        return Err(BadCursor::Forged);
    }
    let (said, tag) = bytes.split_at(ID + HASH);
    let sealed = mac(secret, said).verify_truncated_left(tag);
    sealed.map_err(|_| BadCursor::Forged)?;
    let (id, hash) = said.split_at(ID);
    if hash != filters.0 {
        return Err(BadCursor::OtherFilters);
    }
    let id = Uuid::from_slice(id).ok().and_then(JobId::from_uuid);
    id.ok_or(BadCursor::Forged)
}

fn mac(secret: &[u8; 32], said: &[u8]) -> Hmac<Sha256> {
    // The block that a secret of 32 bytes fills with zeros, as HMAC says.
    let mut block = [0; 64];
    block[..secret.len()].copy_from_slice(secret);
    Hmac::<Sha256>::new(&block.into())
        .chain_update(LABEL)
        .chain_update(said)
}

#[cfg(test)]
mod tests {
    use clerkwork_core::UnixMs;

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn a_cursor_opens_with_the_filters_it_was_made_for() {
        let (id, filters) = (JobId::at(UnixMs(5)), Filters::of([Some("a"), None]));
        let cursor = seal(&SECRET, id, filters);
        assert_eq!(open(&SECRET, &cursor, filters), Ok(id));
        let other = Filters::of([None, Some("a")]);
        assert_eq!(open(&SECRET, &cursor, other), Err(BadCursor::OtherFilters));
    }

    #[test]
    fn a_changed_cursor_is_refused_wherever_it_was_changed() {
        let filters = Filters::of([]);
        let cursor = seal(&SECRET, JobId::at(UnixMs(5)), filters);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                open(&SECRET, &changed, filters),
                Err(BadCursor::Forged),
                "{at}"
            );
        }
        for bad in ["", "=", "ä", &cursor[1..], &format!("{cursor}A")] {
            assert_eq!(open(&SECRET, bad, filters), Err(BadCursor::Forged), "{bad}");
        }
        assert_eq!(open(&[8; 32], &cursor, filters), Err(BadCursor::Forged));
    }

    #[test]
    fn filters_differ_wherever_their_parts_do() {
        let all = [
            Filters::of([None, None]),
            Filters::of([Some(""), None]),
            Filters::of([Some("ab"), Some("c")]),
            Filters::of([Some("a"), Some("bc")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }
}
