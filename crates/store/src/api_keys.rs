//! API keys as both databases keep them.

use clerkwork_core::{ApiKey, KeyId, QueueName, Role, TenantName, UnixMs};
use sqlx_macros::FromRow;

use crate::Error;

/// What is kept of an API key: enough to know it again, not enough to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its name.
    pub id: KeyId,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Whose jobs its holder may see.
    pub tenant: TenantName,
    /// What its holder may do.
    pub role: Role,
    /// The only queues that it is for; none: it is for all.
    pub queues: Vec<QueueName>,
    /// A word for people.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: UnixMs,
    /// Since when it is good for nothing.
    pub revoked_at: Option<UnixMs>,
}

impl KnownKey {
    /// What is kept of a new key that is for all queues of its tenant.
    #[must_use]
    pub fn new(key: &ApiKey, tenant: TenantName, role: Role, created_at: UnixMs) -> Self {
        Self {
            id: key.id(),
            hash: key.hash(),
            tenant,
            role,
            queues: Vec::new(),
            note: None,
            created_at,
            revoked_at: None,
        }
    }
}

/// A row of `api_keys`.
#[derive(FromRow)]
pub(crate) struct KeyCells {
    id: String,
    hash: Vec<u8>,
    tenant: String,
    role: String,
    queues: String,
    note: Option<String>,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl KeyCells {
    pub(crate) fn key(self) -> Result<KnownKey, Error> {
        let corrupt = |what: &str| Error::Corrupt {
            table: "api_keys",
            detail: format!("{what} of key {:?}", self.id),
        };
        Ok(KnownKey {
            id: self.id.parse().map_err(|_| corrupt("the id"))?,
            hash: self
                .hash
                .as_slice()
                .try_into()
                .map_err(|_| corrupt("the hash"))?,
            tenant: self.tenant.parse().map_err(|_| corrupt("the tenant"))?,
            role: self.role.parse().map_err(|_| corrupt("the role"))?,
            queues: serde_json::from_str(&self.queues).map_err(|_| corrupt("the queues"))?,
            note: self.note,
            created_at: UnixMs(self.created_at),
            revoked_at: self.revoked_at.map(UnixMs),
        })
    }
}

/// Queues as a cell holds them.
pub(crate) fn queues_cell(queues: &[QueueName]) -> Result<String, Error> {
    serde_json::to_string(queues).map_err(|error| Error::Setting(error.to_string()))
}
