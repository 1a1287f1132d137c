//! A job's webhook: what has become of it, and the secret that signs it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::clock::UnixMs;
use crate::id::JobId;
use crate::job::Job;

/// What has become of a webhook, as clients see it: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookStatus {
    /// The job is not done.
    Waiting,
    /// It is to be sent, for the first time or again.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was tried as often as it is ever tried.
    Failed,
    /// The receiver wants no more, or the job was deleted.
    Stopped,
}

impl WebhookStatus {
    const KEPT: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Stopped];

    /// The number that the store keeps; there is nothing to keep while the job is not done.
    #[must_use]
    pub fn number(self) -> Option<i16> {
        let at = Self::KEPT.iter().position(|status| *status == self)?;
        i16::try_from(at).ok()
    }

    /// The status with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::KEPT.get(usize::try_from(number).ok()?).copied()
    }
}

/// Where a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What has become of it.
    pub status: WebhookStatus,
    /// How often it was tried, since the job ended or since somebody asked to send it again.
    pub attempts: u32,
    /// The last HTTP status that the receiver gave.
    pub last_status: Option<u16>,
    /// The next try; only of one that is pending.
    pub next_attempt_at: Option<UnixMs>,
}

impl Webhook {
    /// Where the webhook of `job` stands as long as nobody has tried to send it.
    #[must_use]
    pub fn untried(job: &Job) -> Self {
        let end = job.standing.finished_at.filter(|_| job.is_done());
        Self {
            status: match end {
                Some(_) => WebhookStatus::Pending,
                None => WebhookStatus::Waiting,
            },
            attempts: 0,
            last_status: None,
            next_attempt_at: end,
        }
    }

    /// The id of a job's webhook: the same however often it is sent.
    #[must_use]
    pub fn id(job: JobId) -> String {
        format!("msg_{}", job.uuid().simple())
    }
}

/// The secret that signs a tenant's webhooks, as Standard Webhooks has it.
///
/// ```
/// use clerkwork_core::WebhookSecret;
/// let secret = WebhookSecret::random();
/// assert!(secret.reveal().starts_with("whsec_"));
/// assert_eq!(format!("{secret:?}"), "WebhookSecret(***)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret([u8; 32]);

impl WebhookSecret {
    /// A new secret: 256 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(crate::chance().random())
    }

    /// The secret with these bytes; `None` unless there are 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, for the store.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text that the receiver is given: `whsec_` and base64.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    /// Signs a message of this id that is sent at `seconds` since 1970: `v1,` and base64.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        // A key of any length is one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"type":"job.succeeded","timestamp":"2025-11-23T12:13:20.000Z","data":{"id":"0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69","status":"succeeded"}}"#;

    fn known() -> WebhookSecret {
        let bytes: Vec<u8> = (0..32).collect();
        WebhookSecret::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn the_signature_is_that_of_the_contract() {
        let secret = known();
        assert_eq!(
            secret.reveal(),
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        );
        let id = Webhook::id("0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69".parse().unwrap());
        assert_eq!(id, "msg_0199f3a07c1e7d118a523f1d2c4b5a69");
        assert_eq!(BODY.len(), 137);
        assert_eq!(
            secret.sign(&id, 1_763_900_000, BODY.as_bytes()),
            "v1,B4caUVisqBC803gzas8EjV9OfEEuf841nC+LLCSYiG8="
        );
    }

    #[test]
    fn whatever_is_altered_is_signed_otherwise() {
        let secret = known();
        let signed = |id: &str, at, body: &str| secret.sign(id, at, body.as_bytes());
        let right = signed("msg_1", 5, "body");
        assert_ne!(signed("msg_2", 5, "body"), right);
        assert_ne!(signed("msg_1", 6, "body"), right);
        assert_ne!(signed("msg_1", 5, "bodY"), right);
        assert_ne!(WebhookSecret::random().sign("msg_1", 5, b"body"), right);
    }

    #[test]
    fn a_status_survives_its_number() {
        for status in WebhookStatus::KEPT {
            assert_eq!(
                WebhookStatus::from_number(status.number().unwrap()),
                Some(status)
            );
        }
        assert_eq!(WebhookStatus::Waiting.number(), None);
        assert_eq!(WebhookStatus::from_number(4), None);
        assert_eq!(WebhookStatus::from_number(-1), None);
    }
}
