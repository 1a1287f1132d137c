//! Watch tokens: the right to look at one job, for a browser that can send no key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::UnixMs;
use crate::correlation::Secret;
use crate::id::JobId;

/// Makes and checks watch tokens: `cwt_<version>.<expiry>.<HMAC-SHA256>`. The version is the id of
/// the secret, the expiry a Unix time in seconds; the job is not in the token, only in its seal.
///
/// ```
/// use clerkwork_core::{JobId, Secret, UnixMs, WatchSeal};
/// let seal = WatchSeal::new(&[Secret::random(1)]).expect("one secret");
/// let (mine, other) = (JobId::at(UnixMs(1)), JobId::at(UnixMs(1)));
/// let token = seal.token(mine, UnixMs(60_000));
/// assert!(seal.opens(&token, mine, UnixMs(59_999)));
/// assert!(!seal.opens(&token, mine, UnixMs(60_000)));
/// assert!(!seal.opens(&token, other, UnixMs(0)));
/// ```
#[derive(Clone)]
pub struct WatchSeal {
    newest: (u8, Hmac<Sha256>),
    all: Vec<(u8, Hmac<Sha256>)>,
}

const LABEL: &[u8] = b"clerkwork watch token 1";

impl WatchSeal {
    /// A seal under what is derived from these secrets, the newest last; `None` without any.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        let derived = |secret: &Secret| {
            let mac = Hmac::<Sha256>::new_from_slice(&secret.bytes).ok()?;
            let own = mac.chain_update(LABEL).finalize().into_bytes();
            Some((secret.id, Hmac::<Sha256>::new_from_slice(&own).ok()?))
        };
        let all: Vec<_> = secrets.iter().filter_map(derived).collect();
        Some(Self {
            newest: all.last()?.clone(),
            all,
        })
    }

    /// The token that lets its holder look at `job` until `expiry`, to the second before.
    #[must_use]
    pub fn token(&self, job: JobId, expiry: UnixMs) -> String {
        let (version, secret) = &self.newest;
        let expiry = expiry.0.div_euclid(1000);
        let tag = said(secret, job, expiry).finalize().into_bytes();
        format!("cwt_{version}.{expiry}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether this token lets its holder look at `job` now.
    #[must_use]
    pub fn opens(&self, token: &str, job: JobId, now: UnixMs) -> bool {
        let check = || {
            let (version, rest) = token.strip_prefix("cwt_")?.split_once('.')?;
            let (expiry, tag) = rest.split_once('.')?;
            let (version, expiry) = (whole::<u8>(version)?, whole::<i64>(expiry)?);
            let (_, secret) = self.all.iter().find(|(id, _)| *id == version)?;
            let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
            said(secret, job, expiry).verify_slice(&tag).ok()?;
            Some(now.0 < expiry.saturating_mul(1000))
        };
        check().unwrap_or(false)
    }
}

impl fmt::Debug for WatchSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchSeal({} secrets)", self.all.len())
    }
}

fn said(secret: &Hmac<Sha256>, job: JobId, expiry: i64) -> Hmac<Sha256> {
    secret
        .clone()
        .chain_update(job.uuid().as_bytes())
        .chain_update(expiry.to_be_bytes())
}

/// A number in the one way in which we write it.
fn whole<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>()
        .ok()
        .filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: UnixMs = UnixMs(1_764_583_200_999);

    fn seal() -> WatchSeal {
        WatchSeal::new(&[Secret::random(1), Secret::random(2)]).unwrap()
    }

    #[test]
    fn a_token_names_its_version_and_expiry_and_ends_with_a_whole_hmac() {
        let token = seal().token(JobId::at(UnixMs(5)), END);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts[..2], ["cwt_2", "1764583200"]);
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32);
    }

    #[test]
    fn a_token_of_an_older_secret_still_opens() {
        let (old, new) = (Secret::random(1), Secret::random(2));
        let job = JobId::at(UnixMs(5));
        let token = WatchSeal::new(std::slice::from_ref(&old))
            .unwrap()
            .token(job, END);
        let both = WatchSeal::new(&[old, new.clone()]).unwrap();
        assert!(both.opens(&token, job, UnixMs(0)));
        assert!(
            !WatchSeal::new(&[new])
                .unwrap()
                .opens(&token, job, UnixMs(0))
        );
    }

    proptest! {
        #[test]
        fn no_changed_token_opens(at in 4usize..60, to in "[A-Za-z0-9_.-]") {
            let (seal, job) = (seal(), JobId::at(UnixMs(5)));
            let token = seal.token(job, END);
            let mut forged = token.clone();
            forged.replace_range(at..=at, &to);
            prop_assert!(forged == token || !seal.opens(&forged, job, UnixMs(0)));
        }

        #[test]
        fn opening_any_text_never_panics(text in ".{0,200}") {
            prop_assert!(!seal().opens(&text, JobId::at(UnixMs(5)), UnixMs(0)));
        }
    }
}
